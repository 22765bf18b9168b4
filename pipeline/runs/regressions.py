"""What became worse from one run to the next, beyond noise, and why it counts so.

Quality: a new model against the live one on the same users, by the confidence interval
of the mean difference: worse if all of it is below 0. Where nothing was live, against
the evaluation before it: worse if the two intervals do not overlap. Without intervals
nothing is said.

Time: a step against the last `_WINDOW` times that it ran, by their median and MAD
(median absolute deviation; times 1.4826 it estimates the standard deviation of normal
noise, and a few outliers do not move it). Out of line is what is above the median by
more than `_DEVIATIONS` such deviations, by more than half, and by more than
`_LEAST_SECONDS`. Warm and cold trainings are compared with their own kind.
"""

from __future__ import annotations

import statistics
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.runs.history_entry import Entry

METRICS: Final = ("hit_rate@10", "ndcg@10")
_WINDOW: Final = 20  # times
_LEAST_TIMES: Final = 5
_DEVIATIONS: Final = 5
_OF_NORMAL: Final = 1.4826
_LEAST_SHARE: Final = 0.5
_LEAST_SECONDS: Final = 5.0
RULES: Final = (
    "Quality: worse than the live model on the same users, with the whole confidence "
    "interval of the difference below 0; where nothing was live, an interval below "
    "that of the evaluation before. Time: a step that took "
    f"{_LEAST_SHARE:.0%} and {_LEAST_SECONDS:g} s more than the median of its last "
    f"{_WINDOW} times, and {_DEVIATIONS} times their deviation (1.4826 MAD)."
)


@dataclass(frozen=True)
class Regression:
    """Something that became worse.

    Attributes:
      entry: Name of the entry.
      what: A metric, or the id of a step.
      kind: "quality" or "time".
      reason: Why it counts as worse, in one line.
    """

    entry: str
    what: str
    kind: str
    reason: str


def find_regressions(entries: Sequence[Entry]) -> list[Regression]:
    """Returns what became worse, oldest first.

    Args:
      entries: The whole history, oldest first.
    """
    return [*_of_quality(entries), *_of_time(entries)]


def _of_quality(entries: Sequence[Entry]) -> Iterator[Regression]:
    before: Entry | None = None
    for entry in entries:
        if not entry.candidate or entry.was_cached:
            continue
        for metric in METRICS:
            reason = _against_live(entry, metric) if entry.live else ""
            if not entry.live and before is not None:
                reason = _against_earlier(entry, before, metric)
            if reason:
                yield Regression(entry.name, metric, "quality", reason)
        before = entry


def _against_live(entry: Entry, metric: str) -> str:
    interval, gain = entry.interval("live_gain", metric), entry.gain.get(metric)
    if interval is None or gain is None or interval[1] >= 0:
        return ""
    return (
        f"{metric} is {-gain:.4f} below the live model's on the same users "
        f"(difference {interval[0]:+.4f} to {interval[1]:+.4f})"
    )


def _against_earlier(entry: Entry, before: Entry, metric: str) -> str:
    own = entry.interval("candidate", metric)
    other = before.interval("candidate", metric)
    if own is None or other is None or own[1] >= other[0]:
        return ""
    return (
        f"{metric} {own[0]:.4f} to {own[1]:.4f} is below {other[0]:.4f} to "
        f"{other[1]:.4f} of {before.name}, the evaluation before; there was no live "
        "model to compare on the same users"
    )


def _of_time(entries: Sequence[Entry]) -> Iterator[Regression]:
    past: dict[tuple[str, bool], deque[float]] = defaultdict(
        lambda: deque(maxlen=_WINDOW)
    )
    for entry in entries:
        for step, seconds in entry.steps.items():
            earlier = past[step, step == "Trainer" and entry.warm_start is not None]
            if reason := _out_of_line(step, seconds, earlier):
                yield Regression(entry.name, step, "time", reason)
            earlier.append(seconds)


def _out_of_line(step: str, seconds: float, earlier: Sequence[float]) -> str:
    if len(earlier) < _LEAST_TIMES:
        return ""
    median = statistics.median(earlier)
    mad = statistics.median(abs(value - median) for value in earlier)
    noise = _DEVIATIONS * _OF_NORMAL * mad
    if seconds - median <= max(noise, _LEAST_SHARE * median, _LEAST_SECONDS):
        return ""
    return (
        f"{step} took {seconds:.1f} s; the median of its last {len(earlier)} times is "
        f"{median:.1f} s (MAD {mad:.1f} s)"
    )
