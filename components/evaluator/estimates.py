"""Numbers with their confidence intervals, from the results of one slice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from components.evaluator.results import SliceResult, Values
from components.metrics import uncertainty
from components.metrics.base import MeanMetric
from components.metrics.measurement import (
    COUNTS,
    ERROR_SUFFIX,
    LIFT_PREFIX,
    LIVE_GAIN_PREFIX,
    POPULARITY_GAIN_PREFIX,
    POPULARITY_PREFIX,
    QUERIES,
)
from components.metrics.registry import metric_named


class Estimate(NamedTuple):
    """A number and the interval that the true one is in.

    Attributes:
      value: NaN where it is not defined.
      low: NaN where that is not known.
      high: NaN where that is not known.
    """

    value: float
    low: float
    high: float


Estimates = dict[str, Estimate]


def estimates(result: SliceResult, confidence: float) -> dict[str, Estimates | None]:
    """Returns every number of a slice.

    Args:
      result: What TFMA measured.
      confidence: Of the two-sided intervals.

    Returns:
      `candidate`, `baseline`, `popularity`, `popularity_lift`, `popularity_gain`
      (candidate - popularity) and `live_gain` (candidate - live model), each metric ->
      estimate; `baseline` and `live_gain` are None where there is no live model.
    """
    quantile = uncertainty.two_sided(confidence)
    own, live = result.candidate, result.baseline

    def normal(value: float, error: float) -> Estimate:
        return Estimate(value, *uncertainty.normal_interval(value, error, quantile))

    def gains(prefix: str, other: Callable[[str], float]) -> Estimates:
        return {
            name: normal(own[name] - other(name), error)
            for name, error in _with(own, prefix, ERROR_SUFFIX)
        }

    return {
        "candidate": _of_model(own, "", quantile),
        "baseline": None if live is None else _of_model(live, "", quantile),
        "popularity": _of_model(own, POPULARITY_PREFIX, quantile),
        "popularity_lift": {
            name: _not_negative(normal(value, own[LIFT_PREFIX + name + ERROR_SUFFIX]))
            for name, value in _with(own, LIFT_PREFIX)
        },
        "popularity_gain": gains(
            POPULARITY_GAIN_PREFIX, lambda name: own[POPULARITY_PREFIX + name]
        ),
        "live_gain": None
        if live is None
        else gains(LIVE_GAIN_PREFIX, live.__getitem__),
    }


def _not_negative(estimate: Estimate) -> Estimate:
    return estimate._replace(low=max(estimate.low, 0.0))


def _of_model(values: Values, prefix: str, quantile: float) -> Estimates:
    return {
        name: _estimate(
            name,
            value,
            values[prefix + name + ERROR_SUFFIX],
            int(values[QUERIES]),
            quantile,
        )
        for name, value in _with(values, prefix)
    }


def _estimate(
    name: str, value: float, error: float, count: int, quantile: float
) -> Estimate:
    metric = metric_named(name)
    if isinstance(metric, MeanMetric) and metric.is_fraction:
        interval = uncertainty.fraction_interval(value, error, count, quantile)
        return Estimate(value, *interval)
    low, high = uncertainty.normal_interval(value, error, quantile)
    # Coverage is a share, and novelty is not negative either.
    most = math.inf if isinstance(metric, MeanMetric) else 1.0
    return Estimate(value, max(low, 0.0), min(high, most))


def _with(values: Values, prefix: str, suffix: str = "") -> Iterator[tuple[str, float]]:
    """Yields metrics of exactly that prefix and suffix, by the metric's own name."""
    for name, value in values.items():
        metric = name.removeprefix(prefix).removesuffix(suffix)
        is_one = name == prefix + metric + suffix and "/" not in metric
        if is_one and metric not in COUNTS:
            yield metric, value
