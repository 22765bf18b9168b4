"""Two runs side by side: what was changed, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.past_run import PastRun


@dataclass(frozen=True)
class Change:
    """A setting or a fact of the data that differs.

    Attributes:
      key: Its name, parts separated by dots.
      first: Its value in the first run; None where it has none.
      second: Its value in the second run.
    """

    key: str
    first: Any
    second: Any


@dataclass(frozen=True)
class MetricChange:
    """A metric of both candidates.

    Attributes:
      metric: Its name.
      first: Its value in the first run; None where it has none.
      second: Its value in the second run.
      difference: Second minus first.
      noise: What noise explains of it: half the interval of the difference. The runs'
        users are taken as different, so it is too large where they are the same.
      verdict: Whether the second is better or worse beyond noise.
    """

    metric: str
    first: float | None
    second: float | None
    difference: float | None
    noise: float | None
    verdict: Literal["better", "worse", ""]


@dataclass(frozen=True)
class Comparison:
    """See the module."""

    runs: tuple[str, str]
    config: list[Change]
    data: list[Change]
    metrics: list[MetricChange]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def compare(first: PastRun, second: PastRun) -> Comparison:
    """Compares two runs."""
    return Comparison(
        (first.run_id, second.run_id),
        list(_changes(first.config, second.config)),
        list(_changes(first.data, second.data)),
        list(_metrics(first.evaluation, second.evaluation)),
    )


def _changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Change]:
    one, other = dict(_flat(first)), dict(_flat(second))
    for key in sorted({*one, *other}):
        if one.get(key) != other.get(key):
            yield Change(key, one.get(key), other.get(key))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _metrics(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> Iterator[MetricChange]:
    names = {**first.get("candidate", {}), **second.get("candidate", {})}
    for name in names:
        yield _metric(name, first, second)


def _metric(
    name: str, first: Mapping[str, Any], second: Mapping[str, Any]
) -> MetricChange:
    one, other = (part.get("candidate", {}).get(name) for part in (first, second))
    if one is None or other is None:
        return MetricChange(name, one, other, None, None, "")
    halves = [_half(part, name) for part in (first, second)]
    difference, noise = other - one, math.hypot(*halves)
    if not math.isfinite(noise) or abs(difference) <= noise:
        verdict: Literal["better", "worse", ""] = ""
    else:
        verdict = "better" if difference > 0 else "worse"
    finite = noise if math.isfinite(noise) else None
    return MetricChange(name, one, other, difference, finite, verdict)


def _half(evaluation: Mapping[str, Any], name: str) -> float:
    """Half the length of a candidate's interval; NaN where it has none."""
    low, high = evaluation["intervals"]["candidate"][name]
    return math.nan if low is None or high is None else (high - low) / 2
