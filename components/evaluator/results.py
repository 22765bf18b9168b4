"""What an evaluation measures in one slice: names, values and confidence intervals."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from components.metrics import AccuracyMetric, MeanMetric, uncertainty
from components.metrics.base import Metric

# Counts of a slice: measured queries, queries left out because they have no held-out
# movie, and held-out events that the model was trained on.
QUERIES: Final = "queries"
QUERIES_WITHOUT_HELD_OUT: Final = "queries_without_held_out"
TRAINED_ON: Final = "held_out_events_trained_on"
COUNTS: Final = (QUERIES, QUERIES_WITHOUT_HELD_OUT, TRAINED_ON)

Values = Mapping[str, float]
# Feature -> value; empty for all users together.
Features = Mapping[str, str | int | float]


class Ranker(enum.IntEnum):
    """Who ranks the queries: their index in `PairedSums`."""

    CANDIDATE = 0
    POPULARITY = 1
    BASELINE = 2


def popularity_of(metric: str) -> str:
    """Returns the name of the metric of the popularity ranking."""
    return f"popularity/{metric}"


def lift_of(metric: str) -> str:
    """Returns the name of the ratio candidate / popularity."""
    return f"popularity_lift/{metric}"


def gain_of(metric: str, over: Ranker) -> str:
    """Returns the name of the difference candidate - popularity or live model."""
    return f"{'live' if over is Ranker.BASELINE else 'popularity'}_gain/{metric}"


def error_of(statistic: str) -> str:
    """Returns the name of a statistic's standard error."""
    return f"{statistic}/standard_error"


@dataclasses.dataclass(frozen=True)
class SliceResult:
    """Metrics of one slice.

    Attributes:
      features: Feature -> value of the slice; empty for all users together.
      candidate: Statistic -> value of the candidate and its comparisons.
      baseline: The same of the live model; None where there is none.
    """

    features: Features
    candidate: Values
    baseline: Values | None

    @property
    def name(self) -> str:
        """`feature=value`, as in the configuration; empty for all users."""
        return ", ".join(f"{n}={value}" for n, value in sorted(self.features.items()))


class Estimate(NamedTuple):
    """A value and its confidence interval; NaN where something is not defined."""

    value: float
    low: float
    high: float


Estimates = dict[str, Estimate]


def estimates(
    result: SliceResult, metrics: Sequence[Metric], confidence: float
) -> dict[str, Estimates | None]:
    """Returns every metric of a slice with its interval.

    Args:
      result: The slice.
      metrics: What was measured.
      confidence: Of the two-sided intervals.

    Returns:
      `candidate`, `baseline`, `popularity`, `popularity_lift`, `popularity_gain`
      (candidate - popularity) and `live_gain` (candidate - live model), each metric ->
      estimate; `baseline` and `live_gain` are None where there is no live model.
    """
    own, live = result.candidate, result.baseline
    quantile = uncertainty.two_sided(confidence)
    # Nothing is measured in an evaluation without rows.
    measured = [metric for metric in metrics if metric.name in own]
    measured.sort(key=lambda metric: not isinstance(metric, MeanMetric))
    means = [metric for metric in measured if isinstance(metric, MeanMetric)]
    accuracy = [metric for metric in means if isinstance(metric, AccuracyMetric)]

    def of_model(values: Values) -> Estimates:
        return {m.name: _of_metric(m, m.name, values, quantile) for m in measured}

    def gains(names: Iterable[str], over: Ranker, other: Values) -> Estimates:
        differences = {
            name: (own[name] - other[name], gain_of(name, over)) for name in names
        }
        return {
            name: _normal(value, own[error_of(gain)], quantile)
            for name, (value, gain) in differences.items()
        }

    popularity = {
        m.name: _of_metric(m, popularity_of(m.name), own, quantile) for m in accuracy
    }
    return {
        "candidate": of_model(own),
        "baseline": None if live is None else of_model(live),
        "popularity": popularity,
        "popularity_lift": {
            m.name: _clipped(
                _normal(own[lift_of(m.name)], own[error_of(lift_of(m.name))], quantile)
            )
            for m in accuracy
        },
        "popularity_gain": gains(
            popularity,
            Ranker.POPULARITY,
            {name: e.value for name, e in popularity.items()},
        ),
        "live_gain": None
        if live is None
        else gains([m.name for m in means], Ranker.BASELINE, live),
    }


def _normal(value: float, error: float, quantile: float) -> Estimate:
    return Estimate(value, *uncertainty.normal_interval(value, error, quantile))


def _clipped(estimate: Estimate, most: float = math.inf) -> Estimate:
    """Limits an interval to values from 0."""
    return estimate._replace(low=max(estimate.low, 0.0), high=min(estimate.high, most))


def _of_metric(
    metric: Metric, statistic: str, values: Values, quantile: float
) -> Estimate:
    value, error = values[statistic], values[error_of(statistic)]
    if isinstance(metric, MeanMetric) and metric.is_fraction:
        count = int(values[QUERIES])
        interval = uncertainty.fraction_interval(value, error, count, quantile)
        return Estimate(value, *interval)
    # Aggregate metrics are shares, at most 1; novelty has no upper limit.
    most = math.inf if isinstance(metric, MeanMetric) else 1.0
    return _clipped(_normal(value, error, quantile), most)
