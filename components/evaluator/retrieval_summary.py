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

A value that is not defined (no query, a lift over nothing) is null.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from typing import Any, Final

from tensorflow_model_analysis.proto import config_pb2
from tfx.utils import io_utils

from components.evaluator import results
from components.evaluator.estimates import estimates
from components.evaluator.reasons import reasons
from components.evaluator.results import SliceResult
from components.evaluator.thresholds import outcomes
from components.metrics.measurement import COUNTS, QUERIES

SUMMARY_FILE: Final = "retrieval_summary.json"


def write_summary(
    evaluation_uri: str,
    eval_config: config_pb2.EvalConfig,
    *,
    confidence: float,
    ignored_fault: str | None,
) -> dict[str, Any]:
    """Writes the summary beside TFMA's results.

    Args:
      evaluation_uri: The evaluation artifact.
      eval_config: What TFMA was asked for.
      confidence: Of the intervals.
      ignored_fault: Why the live model could not be compared with, if it was ignored.

    Returns:
      The summary.
    """
    slices = results.read_slices(evaluation_uri)
    if not slices or slices[0].features:
        slices.insert(0, SliceResult({}, dict.fromkeys(COUNTS, 0.0), None))
    overall = slices[0]
    verdict = results.read_verdict(evaluation_uri)
    checked = list(outcomes(eval_config, slices, verdict))
    summary = {
        **_numbers(overall, confidence),
        **{name: int(overall.candidate[name]) for name in COUNTS},
        "slices": [
            {"features": part.features, **_numbers(part, confidence)}
            for part in slices[1:]
        ],
        "thresholds": [_finite(dataclasses.asdict(item)) for item in checked],
        "confidence": confidence,
        "blessed": verdict.is_valid,
        "reasons": reasons(overall, checked, verdict, ignored_fault),
    }
    text = json.dumps(summary, indent=2, allow_nan=False)
    io_utils.write_string_file(os.path.join(evaluation_uri, SUMMARY_FILE), text)
    return summary


def _numbers(result: SliceResult, confidence: float) -> dict[str, Any]:
    """Values and, beside them, their intervals."""
    values: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    for group, found in estimates(result, confidence).items():
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


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _or_none(value) for name, value in values.items()}


def _or_none(value: Any) -> Any:
    """JSON has neither NaN nor infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
