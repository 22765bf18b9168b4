"""Progress events of a run: the child process writes them, the command line shows them.

Each event is one JSON object on one line of the file that `TWO_TOWER_EVENTS` names:

* `phase`: `text`.
* `pipeline`: `nodes`, the node ids in the order in which they will run.
* `step`: `id`, `state` (running, done, cached or failed), `seconds`, `figure` and, at
  the end, `outputs`: output key -> `{"uri": ..., "properties": {...}}`.
* `train`: `epoch` (epochs done, a fraction in between), `epochs`, `loss`, `seconds`
  since training began, and at the end of an epoch `recall`, null without validation; or
  `text` alone, where it goes on after an interruption.
* `trial`: `trial` (its number, from 1), `trials` (at most), `state` (running, done or
  failed) and the other fields of `trainer.tuning.tuner.Outcome`.
* `error`: `step` or null, `cause`, `remedy`.

This module is imported by the trainer, so it imports nothing heavy.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

ENV_VAR: Final = "TWO_TOWER_EVENTS"
Kind = Literal["phase", "pipeline", "step", "train", "trial", "error"]
Event = dict[str, Any]


def emit(kind: Kind, **fields: Any) -> None:
    """Appends one event; does nothing outside a run of the command line.

    Args:
      kind: What happened.
      **fields: JSON-like values, see the module.
    """
    path = os.environ.get(ENV_VAR)
    if not path:
        return
    line = json.dumps({"kind": kind, "time": time.time(), **fields}, default=float)
    with open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")


class EventReader:
    """Reads the events that were appended since the last call."""

    def __init__(self, path: Path) -> None:
        """Starts at the beginning of a file that need not exist yet."""
        self._path = path
        self._offset = 0

    def read(self) -> Iterator[Event]:
        """Yields each new whole line's event; a line still being written waits."""
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
