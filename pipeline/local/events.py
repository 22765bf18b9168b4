"""`events.jsonl`: the progress events of a run, one JSON object a line.

The subprocess that runs the pipeline writes the file, the command line follows it.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

from trainer import progress


class _JsonFormatter(logging.Formatter):
    """Formats a record of `trainer.progress` as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        event: progress.Event = getattr(record, "event")  # noqa: B009 - set by `extra`
        return json.dumps(event, default=float)  # NumPy's numbers too


@contextlib.contextmanager
def record_events(path: Path) -> Iterator[None]:
    """Appends the events that this process emits to a file, while in the context."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(_JsonFormatter())
    progress.LOGGER.addHandler(handler)
    try:
        yield
    finally:
        progress.LOGGER.removeHandler(handler)
        handler.close()


class EventReader:
    """Reads the events that were appended since the last call."""

    def __init__(self, path: Path) -> None:
        """Starts at the beginning of a file that need not exist yet."""
        self._path = path
        self._offset = 0

    def read(self) -> Iterator[progress.Event]:
        """Yields the event of each new complete line; a partial line is read later."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return
        end = new.rfind(b"\n") + 1
        self._offset += end
        for line in new[:end].splitlines():
            yield json.loads(line)
