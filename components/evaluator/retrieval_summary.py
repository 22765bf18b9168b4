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
from typing import Any, Final, TypedDict, cast

from components.evaluator.reasons import reasons
from components.evaluator.results import (
    COUNTS,
    QUERIES,
    SliceResult,
    estimates,
)
from components.evaluator.thresholds import Threshold, outcomes
from components.metrics.base import Metric

# In the evaluation artifact, beside TFMA's files.
SUMMARY_FILE: Final = "retrieval_summary.json"

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
    slices: Sequence[SliceResult],
    metrics: Sequence[Metric],
    thresholds: Sequence[Threshold],
    *,
    confidence: float,
    is_valid: bool,
    ignored_fault: str | None,
) -> RetrievalSummary:
    """Returns the summary of an evaluation.

    Args:
      slices: What TFMA measured, all users together first.
      metrics: Those that were measured.
      thresholds: Those that were checked.
      confidence: Of the intervals.
      is_valid: TFMA's decision.
      ignored_fault: Why the live model was left out, where it is broken and ignored.
    """
    if not slices or slices[0].features:  # there was no row
        slices = [SliceResult({}, dict.fromkeys(COUNTS, 0.0), None), *slices]
    overall, *parts = slices
    checked = outcomes(thresholds, slices)
    missing = {
        item.slice: None
        for item in thresholds
        if not any(item.applies_to(result) for result in slices)
    }
    summary = {
        **_numbers(overall, metrics, confidence),
        **{name: int(overall.candidate[name]) for name in COUNTS},
        "slices": [
            {"features": part.features, **_numbers(part, metrics, confidence)}
            for part in parts
        ],
        "thresholds": [_finite(dataclasses.asdict(item)) for item in checked],
        "confidence": confidence,
        "blessed": is_valid,
        "reasons": reasons(overall, checked, list(missing), ignored_fault),
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


def _numbers(
    result: SliceResult, metrics: Sequence[Metric], confidence: float
) -> dict[str, Any]:
    """Returns values and, beside them, their intervals."""
    values: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    for group, found in estimates(result, metrics, confidence).items():
        values[group] = intervals[group] = None
        if found is not None:
            values[group] = _finite({m: e.value for m, e in found.items()})
            intervals[group] = {
                m: [_or_none(e.low), _or_none(e.high)] for m, e in found.items()
            }
    return {
        **values,
        "intervals": intervals,
        QUERIES: int(result.candidate[QUERIES]),
    }


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _or_none(value) for name, value in values.items()}


def _or_none(value: Any) -> Any:
    """Replaces NaN and infinity, which JSON lacks."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
