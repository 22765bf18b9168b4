"""Progress events of a run, emitted through the standard `logging` module.

Every event is one record of the logger `trainer.progress`, whose attribute `event` is a
JSON-like dictionary. Nothing happens to it unless a runner attaches a handler, as
`pipeline.local.events.record_events` does, or a function by `received_by`. Beside
`kind` and `time` (Unix time in seconds) an event has, by kind:

* `phase`: `text`.
* `pipeline`: `nodes`, the node ids in the order in which they will run.
* `step`: `id`, `state` (running, done, cached or failed) and, when it has ended,
  `seconds`, `figure` (its headline) and `outputs`: output key ->
  `{"uri": ..., "properties": {...}}`.
* `train`: `epoch` (epochs done, a fraction in between), `epochs`, `loss`, `seconds`
  since training began, and at the end of an epoch `recall` and `ndcg`, null without
  validation; or `text` alone, where training continues after an interruption.
* `work`: how far the long part of a step is: `share` (of 1; null if not known), `rate`
  (in `unit` a second) and `left` (seconds, or null).
* `trial`: `trial` (its number, from 1), `trials` (at most), `state` (running, done or
  failed) and the other fields of `trainer.tuning.tuner.Outcome`.
* `error`: `step` or null, `cause`, `remedy`.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

Kind = Literal["phase", "pipeline", "step", "train", "trial", "work", "error"]
Event = dict[str, Any]

LOGGER: Final = logging.getLogger(__name__)
LOGGER.setLevel(logging.INFO)
# The log of a run is for people, who see these events on the command line.
LOGGER.propagate = False
_LOG: Final = logging.getLogger("trainer.work")  # the log of a run or of a pod
_SECONDS_BETWEEN_EVENTS: Final = 0.5
_SECONDS_BETWEEN_LINES: Final = 15.0


def emit(kind: Kind, **fields: Any) -> None:
    """Emits one event.

    Args:
      kind: What happened.
      **fields: JSON-like values, see the module.
    """
    forward({"kind": kind, "time": time.time(), **fields})


def forward(event: Event) -> None:
    """Emits an event that another process has made."""
    LOGGER.info("%s", event["kind"], extra={"event": event})


def event_of(record: logging.LogRecord) -> Event:
    """Returns the event of a record of `LOGGER`, for a handler."""
    event: Event = getattr(record, "event")  # noqa: B009 - set by `extra`
    return event


class _Receiver(logging.Handler):
    def __init__(self, receive: Callable[[Event], None]) -> None:
        super().__init__()
        self._receive = receive

    def emit(self, record: logging.LogRecord) -> None:
        self._receive(event_of(record))


@contextlib.contextmanager
def received_by(receive: Callable[[Event], None]) -> Iterator[None]:
    """Within it, a function is called with each event that this process emits."""
    handler = _Receiver(receive)
    LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)


class Work:
    """The long part of a step: its share, rate and time left, as events and in the log.

    Args:
      unit: What is counted, in the plural.
      start: Share that was done before, by an earlier process.
    """

    def __init__(self, unit: str, start: float = 0.0) -> None:
        self._unit = unit
        self._start = start
        self._begun = self._last_event = self._last_line = time.monotonic()

    def update(self, share: float | None, done: float) -> None:
        """Says how far the work is, as often as one likes: few calls are passed on.

        Args:
          share: Of the whole work, from 0 to 1; None if that is not known.
          done: Units since this object was made.
        """
        now = time.monotonic()
        ends = share is not None and share >= 1
        if now - self._last_event < _SECONDS_BETWEEN_EVENTS and not ends:
            return
        self._last_event = now
        seconds = max(now - self._begun, 1e-6)
        left = None
        if share is not None and share > self._start:
            left = seconds * (1 - share) / (share - self._start)
        fields = {"share": share, "rate": done / seconds, "left": left}
        emit("work", unit=self._unit, **fields)
        if not ends and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            _LOG.info("%s", work_text({"unit": self._unit, **fields}))


@contextlib.contextmanager
def watched(look: Callable[[], None], seconds: float) -> Iterator[None]:
    """Calls a function every so many seconds, in a thread, while the block runs.

    Args:
      look: Sees how far the work is, and updates a `Work`.
      seconds: Time between two calls.
    """
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            look()

    thread = threading.Thread(target=repeat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def work_text(event: Event) -> str:
    """Describes an event of the kind `work`: "41 %, 61,000 targets/s, 0:01:20 left".

    Empty if the work is done: what comes then is not known to end soon.
    """
    if event["share"] is not None and event["share"] >= 1:
        return ""
    parts = [f"{event['rate']:,.0f} {event['unit']}/s"]
    if event["share"] is not None:
        parts.insert(0, f"{event['share']:.0%}".replace("%", " %"))
    if event["left"] is not None:
        left = datetime.timedelta(seconds=round(event["left"]))
        parts.append(f"{left} left")
    return ", ".join(parts)
