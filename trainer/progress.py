"""Progress events of a run, emitted through the standard `logging` module.

Every event is one record of the logger `trainer.progress`, whose attribute `event` is a
JSON-like dictionary. Nothing happens to it unless a runner attaches a handler, as
`pipeline.local.events.record_events` does. Beside `kind` and `time` (Unix time in
seconds) an event has, by kind:

* `phase`: `text`.
* `pipeline`: `nodes`, the node ids in the order in which they will run.
* `step`: `id`, `state` (running, done, cached or failed) and, when it has ended,
  `seconds`, `figure` (its headline) and `outputs`: output key ->
  `{"uri": ..., "properties": {...}}`.
* `train`: `epoch` (epochs done, a fraction in between), `epochs`, `loss`, `seconds`
  since training began, and at the end of an epoch `recall`, null without validation; or
  `text` alone, where training continues after an interruption.
* `trial`: `trial` (its number, from 1), `trials` (at most), `state` (running, done or
  failed) and the other fields of `trainer.tuning.tuner.Outcome`.
* `error`: `step` or null, `cause`, `remedy`.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final, Literal

Kind = Literal["phase", "pipeline", "step", "train", "trial", "error"]
Event = dict[str, Any]

LOGGER: Final = logging.getLogger(__name__)
LOGGER.setLevel(logging.INFO)
# The log of a run is for people, who see these events on the command line.
LOGGER.propagate = False


def emit(kind: Kind, **fields: Any) -> None:
    """Emits one event.

    Args:
      kind: What happened.
      **fields: JSON-like values, see the module.
    """
    event = {"kind": kind, "time": time.time(), **fields}
    LOGGER.info("%s", kind, extra={"event": event})
