"""One worker: `python -m trainer.workers ARGUMENTS`, with its `TF_CONFIG`.

The exit code is 0; 1 if training failed; `RETRY` if it can go on from the checkpoint,
since another worker was lost; or `PORT_TAKEN`. A TFJob starts a pod again that ends
with one of the last two, or is killed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from trainer import progress
from trainer.errors import UserError
from trainer.processes import end_with_parent
from trainer.text import start_logging
from trainer.workers.arguments import read_arguments
from trainer.workers.channel import PORT_TAKEN, RETRY, Sender
from trainer.workers.staging import events_file

# What TensorFlow raises if its server cannot listen.
_NO_SERVER = "Could not start gRPC server"


def main() -> int:
    """Trains; returns the exit code."""
    parser = argparse.ArgumentParser(prog="trainer.workers", description=__doc__)
    parser.add_argument("arguments", type=Path, help="file that the step has written")
    parser.add_argument("--channel", type=int, help="descriptor for events")
    parser.add_argument(
        "--events", action="store_true", help="write events beside the arguments"
    )
    options = parser.parse_args()
    start_logging()
    logging.getLogger("absl").setLevel(logging.WARNING)
    if options.channel is not None:
        end_with_parent()
        progress.LOGGER.addHandler(Sender(options.channel))
    if options.events:
        path = events_file(options.arguments, _index())
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        progress.LOGGER.addHandler(Sender(os.open(path, flags, 0o666)))
    try:
        from trainer.training import train_and_export

        train_and_export(read_arguments(options.arguments))
    except Exception as error:
        if _NO_SERVER in str(error):
            return PORT_TAKEN
        logging.exception("This worker failed")
        cause, remedy = f"{type(error).__name__}: {error}", ""
        if isinstance(error, UserError):
            cause, remedy = error.message, error.remedy
        progress.emit("error", step=None, cause=cause, remedy=remedy)
        return RETRY if _is_loss_of_a_worker(error) else 1
    return 0


def _index() -> int:
    return int(json.loads(os.environ["TF_CONFIG"])["task"]["index"])


def _is_loss_of_a_worker(error: Exception) -> bool:
    """Whether an error is what TensorFlow raises when a peer is gone."""
    import tensorflow as tf

    kinds = tf.errors
    return isinstance(
        error,
        (
            kinds.UnavailableError,
            kinds.AbortedError,
            kinds.CancelledError,
            kinds.DeadlineExceededError,
        ),
    )


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # Not by way of Python's exit: other workers may be gone, for whom TensorFlow waits.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
