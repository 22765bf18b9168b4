"""Progress events and errors of a worker, through a pipe to the step."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from typing import Final

from trainer.progress import Event, event_of

# Exit codes of a worker: its port was taken; another worker was lost. From 128 on, a
# TFJob starts the pod again.
PORT_TAKEN: Final = 140
RETRY: Final = 138


class Sender(logging.Handler):
    """Writes the events of a process to a pipe, each as a line of JSON.

    Args:
      descriptor: The pipe's end for writing.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one event; nothing if the step has ended, and this process will."""
        line = json.dumps(event_of(record), default=float)
        with contextlib.suppress(OSError):
            os.write(self._descriptor, f"{line}\n".encode())


def receive(descriptor: int) -> Iterator[Event]:
    """Yields events until the worker has ended, and closes the pipe.

    A line that a killed worker has cut is left out.
    """
    with open(descriptor, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict):
                    yield event
