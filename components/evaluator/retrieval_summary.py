"""`retrieval_summary.json`: the evaluation and its reasons, for people and reports.

    {"candidate": {"ndcg@10": 0.12, ...}, "baseline": {...} or null,
     "popularity": {"ndcg@10": 0.04, ...}, "popularity_lift": {"ndcg@10": 2.9, ...},
     "popularity_gain": {"ndcg@10": 0.08, ...}, "live_gain": {...} or null,
     "intervals": {"candidate": {"ndcg@10": [0.10, 0.14], ...}, "baseline": ...},
     "queries": 943, "queries_without_held_out": 0, "held_out_events_trained_on": 0,
     "slices": [{"features": {"activity": "020-049"}, "queries": 12, "candidate": ...}],
     "thresholds": [{"metric": "ndcg@10", "kind": "lift", "passed": true, ...}],
     "confidence": 0.95,
     "blessed": true, "reasons": ["ndcg@10 0.1213 is 2.9x popularity ...", ...]}

A value that is not defined (no query, a lift over nothing) is null. `baseline` and
`live_gain` are null where there is no live model.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

from components.evaluator import SUMMARY_FILE
from components.evaluator.config import EvalConfig
from components.evaluator.reasons import reasons
from components.evaluator.results import (
    COUNTS,
    QUERIES,
    Ranker,
    SliceResult,
    error_of,
    gain_of,
    lift_of,
    metric_names,
    popularity_of,
)
from components.evaluator.thresholds import Outcome, thresholds_of
from components.metrics import AccuracyMetric, MeanMetric, metric_named, uncertainty
from components.metrics.base import Metric
from components.metrics.uncertainty import Interval

# Metric -> value, and metric -> its interval.
Values = dict[str, float | None]
Intervals = dict[str, list[float | None]]


class Numbers(TypedDict):
    """Metrics of all users together or of one slice, see the module."""

    candidate: Values
    baseline: Values | None
    popularity: Values
    popularity_lift: Values
    popularity_gain: Values
    live_gain: Values | None
    intervals: dict[str, Intervals | None]
    queries: int


class SliceSummary(Numbers):
    """Metrics of one slice; `features` is feature -> value."""

    features: dict[str, str | int | float]


class RetrievalSummary(Numbers):
    """The whole file; see `Outcome` for the fields of a threshold."""

    queries_without_held_out: int
    held_out_events_trained_on: int
    slices: list[SliceSummary]
    thresholds: list[dict[str, Any]]
    confidence: float
    blessed: bool
    reasons: list[str]


def summarize(
    config: EvalConfig,
    slices: Sequence[SliceResult],
    *,
    has_baseline: bool,
    is_valid: bool,
    ignored_fault: str | None,
    live_note: str = "",
) -> RetrievalSummary:
    """Returns the summary of an evaluation.

    Args:
      config: Metrics and thresholds.
      slices: What TFMA measured, all users together first.
      has_baseline: Whether there is a live model.
      is_valid: TFMA's decision.
      ignored_fault: Why the live model was left out, where it is broken and ignored.
      live_note: Why there is no model to compare with, from LiveModel.
    """
    if not slices or slices[0].features:  # there was no row
        slices = [SliceResult({}, dict.fromkeys(COUNTS, 0.0), None), *slices]
    overall, *parts = slices
    checked: list[Outcome] = []
    missing: dict[str, None] = {}
    for threshold in thresholds_of(config, has_baseline):
        found = [result for result in slices if threshold.applies_to(result)]
        checked += map(threshold.outcome, found)
        if not found:
            missing[threshold.slice] = None
    summary = {
        **_numbers(overall, config),
        **{name: int(overall.candidate[name]) for name in COUNTS},
        "slices": [{"features": p.features, **_numbers(p, config)} for p in parts],
        "thresholds": [
            {
                name: _or_none(value)
                for name, value in dataclasses.asdict(outcome).items()
            }
            for outcome in checked
        ],
        "confidence": config.confidence,
        "blessed": is_valid,
        "reasons": reasons(overall, checked, list(missing), ignored_fault, live_note),
    }
    return cast(RetrievalSummary, summary)


def write_summary(summary: RetrievalSummary, evaluation_uri: str) -> None:
    """Writes the file into an evaluation artifact."""
    from tfx.dsl.io import fileio

    with fileio.open(os.path.join(evaluation_uri, SUMMARY_FILE), "w") as file:
        file.write(json.dumps(summary, indent=2, allow_nan=False))


def read_summary(evaluation_uri: str) -> RetrievalSummary:
    """Reads the file of an evaluation artifact.

    Raises:
      fileio.NotFoundError: If there is no such file.
    """
    from tfx.dsl.io import fileio

    with fileio.open(os.path.join(evaluation_uri, SUMMARY_FILE)) as file:
        return cast(RetrievalSummary, json.loads(file.read()))


def _numbers(result: SliceResult, config: EvalConfig) -> dict[str, Any]:
    """Returns the fields of `Numbers`."""
    values: dict[str, Values | None] = {}
    intervals: dict[str, Intervals | None] = {}
    for group, found in _estimates(result, config).items():
        values[group] = intervals[group] = None
        if found is not None:
            values[group] = {m: _or_none(value) for m, (value, _) in found.items()}
            intervals[group] = {
                m: [_or_none(end) for end in ends] for m, (_, ends) in found.items()
            }
    return {
        **values,
        "intervals": intervals,
        QUERIES: int(result.candidate[QUERIES]),
    }


# Metric -> value and interval; NaN where something is not defined.
_Estimates = dict[str, tuple[float, Interval]]


def _estimates(result: SliceResult, config: EvalConfig) -> dict[str, _Estimates | None]:
    """Returns each group of `Numbers`."""
    own, live = result.candidate, result.baseline
    quantile = uncertainty.two_sided(config.confidence)
    metrics = [metric_named(name) for name in metric_names(config)]
    # Nothing is measured in an evaluation without rows.
    measured = [metric for metric in metrics if metric.name in own]
    measured.sort(key=lambda metric: not isinstance(metric, MeanMetric))
    means = [m.name for m in measured if isinstance(m, MeanMetric)]
    accuracy = [m for m in measured if isinstance(m, AccuracyMetric)]

    def of_model(values: Mapping[str, float]) -> _Estimates:
        return {m.name: _estimate(m, m.name, values, quantile) for m in measured}

    def lift(metric: str) -> tuple[float, Interval]:
        value, error = own[lift_of(metric)], own[error_of(lift_of(metric))]
        return value, uncertainty.normal_interval(value, error, quantile, lowest=0.0)

    def gain(metric: str, over: Ranker, other: float) -> tuple[float, Interval]:
        value, error = own[metric] - other, own[error_of(gain_of(metric, over))]
        return value, uncertainty.normal_interval(value, error, quantile)

    return {
        "candidate": of_model(own),
        "baseline": None if live is None else of_model(live),
        "popularity": {
            m.name: _estimate(m, popularity_of(m.name), own, quantile) for m in accuracy
        },
        "popularity_lift": {m.name: lift(m.name) for m in accuracy},
        "popularity_gain": {
            m.name: gain(m.name, Ranker.POPULARITY, own[popularity_of(m.name)])
            for m in accuracy
        },
        "live_gain": None
        if live is None
        else {name: gain(name, Ranker.BASELINE, live[name]) for name in means},
    }


def _estimate(
    metric: Metric, statistic: str, values: Mapping[str, float], quantile: float
) -> tuple[float, Interval]:
    value, error = values[statistic], values[error_of(statistic)]
    if isinstance(metric, MeanMetric) and metric.is_fraction:
        count = int(values[QUERIES])
        return value, uncertainty.fraction_interval(value, error, count, quantile)
    # Aggregate metrics are shares, at most 1; novelty has no upper limit.
    highest = math.inf if isinstance(metric, MeanMetric) else 1.0
    return value, uncertainty.normal_interval(value, error, quantile, 0.0, highest)


def _or_none(value: Any) -> Any:
    """Replaces NaN and infinity, which JSON lacks."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
