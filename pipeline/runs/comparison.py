"""Compares two runs: configuration, data and metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from components.evaluator.query_ranks import Pairs, QueryRanks
from components.metrics import lower_is_better
from components.metrics.uncertainty import two_sided
from pipeline.runs.run_record import RunRecord

_DEFAULT_CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Change:
    """A configuration value or a property of the data that differs.

    Attributes:
      key: Its name, parts separated by dots.
      first: Its value in the first run; None if it has none.
      second: Its value in the second run.
    """

    key: str
    first: Any
    second: Any


@dataclass(frozen=True)
class MetricChange:
    """A metric of the candidate models of both runs.

    Attributes:
      metric: Its name.
      first: Its value in the first run, over all users of that run; None if the run has
        no such metric.
      second: Its value in the second run.
      difference: Second minus first: the mean over the users of both runs if the metric
        follows from the ranks of each user, else the difference of the two values.
      noise: Half the width of the confidence interval of the difference.
      is_paired: Whether the difference was computed user by user. If not, the two sets
        of users count as independent, which overstates the noise where they overlap.
      verdict: Whether the second is better or worse by more than the noise.
    """

    metric: str
    first: float | None
    second: float | None
    difference: float | None
    noise: float | None
    is_paired: bool
    verdict: Literal["better", "worse", ""]


@dataclass(frozen=True)
class CommonUsers:
    """The users that both runs were evaluated on.

    Attributes:
      users: How many.
      same_rows: How many of them have the same history and held-out movies in both. For
        the others, a difference may also come from the changed query.
      of_first: Users of the first run.
      of_second: Users of the second run.
    """

    users: int
    same_rows: int
    of_first: int
    of_second: int


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
      runs: Their ids.
      config: Configuration values that differ.
      data: Properties of the data that differ.
      common: None if one of the runs has no ranks of each user: it was not evaluated,
        or was made by an older version.
      metrics: Every metric that at least one run has.
    """

    runs: tuple[str, str]
    config: list[Change]
    data: list[Change]
    common: CommonUsers | None
    metrics: list[MetricChange]


def compare(first: RunRecord, second: RunRecord) -> Comparison:
    """Compares two runs."""
    evaluations = first.output("evaluation"), second.output("evaluation")
    ranks = [QueryRanks.read(output.uri) for output in evaluations if output]
    pairs = common = None
    match ranks:
        case [QueryRanks() as one, QueryRanks() as other]:
            pairs = Pairs.of(one, other)
            common = CommonUsers(pairs.users, pairs.same_rows, *pairs.of_each)
    return Comparison(
        (first.run_id, second.run_id),
        list(_changes(first.config, second.config)),
        list(_changes(first.data, second.data)),
        common,
        _metrics(first.evaluation, second.evaluation, pairs),
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
    first: Mapping[str, Any], second: Mapping[str, Any], pairs: Pairs | None
) -> list[MetricChange]:
    of_first, of_second = first.get("candidate", {}), second.get("candidate", {})
    paired = pairs.differences([n for n in of_first if n in of_second]) if pairs else {}
    quantile = two_sided(second.get("confidence", _DEFAULT_CONFIDENCE))
    changes = []
    for name in {**of_first, **of_second}:
        one, other = of_first.get(name), of_second.get(name)
        difference = noise = math.nan
        if is_paired := name in paired:
            difference = paired[name].mean
            noise = quantile * paired[name].adjusted_error
        elif one is not None and other is not None:
            difference = other - one
            noise = math.hypot(_half(first, name), _half(second, name))
        verdict: Literal["better", "worse", ""] = ""
        if abs(difference) > noise:  # false if either is NaN
            is_better = (difference < 0) == lower_is_better(name)
            verdict = "better" if is_better else "worse"
        finite = _or_none(difference), _or_none(noise)
        changes.append(MetricChange(name, one, other, *finite, is_paired, verdict))
    return changes


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _half(evaluation: Mapping[str, Any], name: str) -> float:
    """Half the width of a candidate's confidence interval; NaN if it has none."""
    intervals = evaluation.get("intervals", {}).get("candidate", {})
    low, high = intervals.get(name, (None, None))
    return math.nan if low is None or high is None else (high - low) / 2
