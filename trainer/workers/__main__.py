"""One worker: `python -m trainer.workers ARGUMENTS`, with its `TF_CONFIG`.

The exit code is 0, 1 if training failed, or `TRY_AGAIN` if its port was taken.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from trainer import progress
from trainer.errors import UserError
from trainer.processes import end_with_parent
from trainer.text import start_logging
from trainer.workers.arguments import read_arguments
from trainer.workers.channel import TRY_AGAIN, Sender

# What TensorFlow raises if its server cannot listen.
_NO_SERVER = "Could not start gRPC server"


def main() -> int:
    """Trains; returns the exit code."""
    parser = argparse.ArgumentParser(prog="trainer.workers", description=__doc__)
    parser.add_argument("arguments", type=Path, help="file that the step has written")
    parser.add_argument("--channel", type=int, help="descriptor for events")
    options = parser.parse_args()
    start_logging()
    logging.getLogger("absl").setLevel(logging.WARNING)
    if options.channel is not None:
        end_with_parent()
        progress.LOGGER.addHandler(Sender(options.channel))
    try:
        from trainer.training import train_and_export

        train_and_export(read_arguments(options.arguments))
    except Exception as error:
        if _NO_SERVER in str(error):
            return TRY_AGAIN
        logging.exception("This worker failed")
        cause, remedy = f"{type(error).__name__}: {error}", ""
        if isinstance(error, UserError):
            cause, remedy = error.message, error.remedy
        progress.emit("error", step=None, cause=cause, remedy=remedy)
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # Not by way of Python's exit: other workers may be gone, for whom TensorFlow waits.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
