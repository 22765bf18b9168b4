"""`retrieval_summary.json`: the evaluation and its reasons, for people and reports.

    {"candidate": {"ndcg@10": 0.12, ...}, "baseline": {...} or null,
     "popularity": {"ndcg@10": 0.04, ...}, "popularity_lift": {"ndcg@10": 2.9, ...},
     "queries": 943, "queries_without_held_out": 0,
     "slices": [{"features": {"activity": "020-049"}, "queries": 12, "candidate": ...}],
     "thresholds": [{"metric": "ndcg@10", "kind": "floor", "passed": true, ...}],
     "blessed": true, "reasons": ["ndcg@10 0.1213 is 2.9x popularity ...", ...]}

A value that is not defined (no query, a lift over nothing) is null.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Sequence
from typing import Any, Final

from tensorflow_model_analysis.proto import config_pb2
from tfx.utils import io_utils

from components.evaluator import results
from components.evaluator.results import SliceResult, Values
from components.evaluator.thresholds import Outcome, outcomes
from components.metrics.popularity_lift import LIFT_PREFIX, POPULARITY_PREFIX
from components.metrics.tfma_metric import QUERIES, QUERIES_WITHOUT_HELD_OUT

SUMMARY_FILE: Final = "retrieval_summary.json"

_NOT_CANDIDATE: Final = (POPULARITY_PREFIX, LIFT_PREFIX)
_COUNTS: Final = (QUERIES, QUERIES_WITHOUT_HELD_OUT)


def write_summary(
    evaluation_uri: str, eval_config: config_pb2.EvalConfig, ignored_fault: str | None
) -> None:
    """Writes the summary beside TFMA's results.

    Args:
      evaluation_uri: The evaluation artifact.
      eval_config: What TFMA was asked for.
      ignored_fault: Why the live model could not be compared with, if it was ignored.
    """
    slices = results.read_slices(evaluation_uri)
    overall = SliceResult({}, {QUERIES: 0, QUERIES_WITHOUT_HELD_OUT: 0}, None)
    if slices and not slices[0].features:
        overall, *slices = slices
    failed = results.failed_thresholds(evaluation_uri)
    checked = list(outcomes(eval_config, overall, failed))
    summary = {
        **_metrics(overall),
        QUERIES_WITHOUT_HELD_OUT: int(overall.candidate[QUERIES_WITHOUT_HELD_OUT]),
        "slices": [{"features": s.features, **_metrics(s)} for s in slices],
        "thresholds": [_json_values(dataclasses.asdict(item)) for item in checked],
        "blessed": results.is_valid(evaluation_uri),
        "reasons": _reasons(overall, checked, ignored_fault),
    }
    text = json.dumps(summary, indent=2, allow_nan=False)
    io_utils.write_string_file(os.path.join(evaluation_uri, SUMMARY_FILE), text)


def _metrics(result: SliceResult) -> dict[str, Any]:
    baseline = result.baseline
    return {
        "candidate": _own(result.candidate),
        "baseline": None if baseline is None else _own(baseline),
        "popularity": _with_prefix(result.candidate, POPULARITY_PREFIX),
        "popularity_lift": _with_prefix(result.candidate, LIFT_PREFIX),
        QUERIES: int(result.candidate[QUERIES]),
    }


def _own(values: Values) -> dict[str, Any]:
    """A model's own metrics, without popularity's and the counts."""
    return _json_values(
        {
            name: value
            for name, value in values.items()
            if not name.startswith(_NOT_CANDIDATE) and name not in _COUNTS
        }
    )


def _with_prefix(values: Values, prefix: str) -> dict[str, Any]:
    return _json_values(
        {
            name.removeprefix(prefix): value
            for name, value in values.items()
            if name.startswith(prefix)
        }
    )


def _json_values(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has neither NaN nor infinity."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def _reasons(
    overall: SliceResult, checked: Sequence[Outcome], ignored_fault: str | None
) -> list[str]:
    """Sentences, what was failed first."""
    reasons = []
    if not overall.candidate[QUERIES]:
        reasons.append("no eval query has a held-out movie, so nothing was measured")
    reasons += [str(item) for item in sorted(checked, key=lambda item: item.passed)]
    if ignored_fault:
        reasons.append(f"the live model was ignored: {ignored_fault}")
    elif overall.baseline is None:
        reasons.append("there is no live model to compare with")
    return reasons
