"""`events.jsonl`: the progress events of a run, one JSON object a line.

The subprocess that runs the pipeline writes the file, the command line follows it.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trainer import progress

_RESERVE: Final = ".reserve"
_RESERVED_BYTES: Final = 256 * 1024


class _JsonFormatter(logging.Formatter):
    """Formats a record of `trainer.progress` as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        event = progress.event_of(record)
        line = json.dumps(event, default=float)  # NumPy's numbers too
        # After a line that a full disk has cut.
        return f"\n{line}" if event["kind"] == "error" else line


class _EventFile(logging.FileHandler):
    """Writes events, the cause of a failure also where the disk is full by then.

    A small file beside the events reserves the space for it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8")
        self.setFormatter(_JsonFormatter())
        self._reserve = path.with_name(_RESERVE)
        with contextlib.suppress(OSError):
            self._reserve.write_bytes(b"\0" * _RESERVED_BYTES)

    def emit(self, record: logging.LogRecord) -> None:
        event = progress.event_of(record)
        if event["kind"] == "error" or event.get("state") == "failed":
            self._reserve.unlink(missing_ok=True)
        super().emit(record)

    def close(self) -> None:
        self._reserve.unlink(missing_ok=True)
        super().close()


@contextlib.contextmanager
def record_events(path: Path) -> Iterator[None]:
    """Appends the events that this process emits to a file, while in the context."""
    handler = _EventFile(path)
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
        """Yields the event of each new complete line; a partial line is read later.

        A line that a full disk or somebody else has cut is left out.
        """
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return
        end = new.rfind(b"\n") + 1
        self._offset += end
        for line in new[:end].splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                event = json.loads(line)
                if isinstance(event, dict) and "kind" in event:
                    yield event
