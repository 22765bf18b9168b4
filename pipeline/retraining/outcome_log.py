"""`retrainings.jsonl`: the outcome of each retraining, one JSON object a line.

Lines are only ever appended, under a lock of the file and flushed to the disk, also by
a command that could not get the workspace's lock. Their order is that of the endings;
times may go back with the clock.
"""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import io
import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.retraining.outcome import OUTCOMES_FILE, Outcome, Status
from trainer.atomic_files import sync

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_FIELDS: Final = frozenset(field.name for field in dataclasses.fields(Outcome))
_LOG: Final = logging.getLogger(__name__)


def append_outcome(workspace: Path, outcome: Outcome) -> None:
    """Appends an outcome; it is on the disk when this returns.

    What a killed process left of its line is removed first.

    Args:
      workspace: Folder of the workspace.
      outcome: What became of a retraining.

    Raises:
      OSError: It cannot be written; then the file is as it was.
    """
    path = workspace / OUTCOMES_FILE
    is_new = not path.exists()
    with open(path, "a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = _repair(file)
        try:
            _write(file, to_json(outcome).encode() + b"\n")
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), end)
            raise
    if is_new:
        sync(workspace)


def read_outcomes(workspace: Path) -> list[Outcome]:
    """Returns the outcomes of all retrainings, oldest first.

    What cannot be read as an outcome is left out: the line of a killed process, or of a
    later version with another `Status`.

    Args:
      workspace: Folder of the workspace.

    Raises:
      OSError: The file is there and cannot be read.
    """
    try:
        content = (workspace / OUTCOMES_FILE).read_bytes()
    except FileNotFoundError:
        return []
    found = map(_parse, content.split(b"\n"))
    return [outcome for outcome in found if outcome is not None]


def to_json(outcome: Outcome) -> str:
    """Serialises an outcome in one line; a number that is not finite becomes null."""
    return json.dumps(_plain(dataclasses.asdict(outcome)), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Status):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    number = float(value)  # NumPy's too
    return number if math.isfinite(number) else None


def _parse(line: bytes) -> Outcome | None:
    if not line.strip(b"\0 \r"):
        return None
    try:
        content = dict(json.loads(line))
        known = {k: v for k, v in content.items() if k in _FIELDS}
        return _adapter().validate_python(known)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        _LOG.warning("A line of %s is not read: %s", OUTCOMES_FILE, error)
        return None


@functools.cache
def _adapter() -> TypeAdapter[Outcome]:
    """Checks the types: a line may have been edited."""
    from pydantic import TypeAdapter

    return TypeAdapter(Outcome)


def _write(file: io.FileIO, line: bytes) -> None:
    """Writes all of a line: a disk that is nearly full takes a part first."""
    while line:
        line = line[file.write(line) :]


def _repair(file: io.FileIO) -> int:
    """Ends the last line, or removes it if it is not whole; returns the size."""
    file.seek(0)
    content = file.read()
    complete, _, rest = content.rpartition(b"\n")
    if not rest:
        return len(content)
    if _parse(rest) is not None:
        _write(file, b"\n")
        return len(content) + 1
    end = len(content) - len(rest)
    os.ftruncate(file.fileno(), end)
    return end
