"""What a rehearsal found: quality and cost of each policy, and their differences.

The value of a policy for a user is the mean over its seeds. A mean over all spans
counts each user of each span once. Users of several spans are not independent
observations of a policy, so the intervals treat all that one user contributes as one
(cluster-robust standard errors). They are about users: of how the trainings of one
policy vary, `by_seed` gives an idea.

On the first span that is measured all policies still have the same model. Differences
of policies leave it out.

Source: Cameron and Miller, "A practitioner's guide to cluster-robust inference",
Journal of Human Resources 50(2), 2015.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from components.metrics import uncertainty
from pipeline.retraining.prequential import CONFIDENCE, METRICS, POPULARITY
from pipeline.retraining.rehearsal.folder import (
    COLD,
    NEVER,
    POLICIES,
    WARM,
    Record,
    RehearsalFolder,
    model_name,
)

FloatArray = NDArray[np.float64]
RANKERS: Final = (*POLICIES, POPULARITY)
# First and second of each difference.
DIFFERENCES: Final = (
    (WARM, COLD),
    (WARM, NEVER),
    (COLD, NEVER),
    (COLD, POPULARITY),
    (NEVER, POPULARITY),
)


@dataclass(frozen=True)
class _Measured:
    """All users of all measured spans, one after the other.

    Attributes:
      users: `[n]` ids.
      span: `[n]` index of the measured span.
      values: Ranker -> seed -> `[metrics, n]`.
    """

    users: NDArray[Any]
    span: NDArray[np.int64]
    values: Mapping[str, Sequence[FloatArray]]

    def can_differ(self, first: str, second: str) -> NDArray[np.bool_]:
        """`[n]` whether two rankers may be different ones by then."""
        return self.span >= (0 if POPULARITY in (first, second) else 1)

    def mean(self, ranker: str) -> FloatArray:
        """`[metrics, n]`: mean over seeds."""
        return np.asarray(np.mean(self.values[ranker], axis=0))


def summarize(folder: RehearsalFolder, record: Record) -> dict[str, Any]:
    """Returns the result of what was measured so far, as plain JSON.

    Returns:
      `metrics`; `confidence`; `spans`, each with name, counts, `quality` (ranker ->
      metric -> [value, low, high]), `differences` and `cost` (policy -> that of the
      training that comes after it, a mean over seeds); `overall`, like `quality`;
      `differences`, each with `first`, `second` and metrics, with the difference of
      every seed; and `cost`, policy -> sums over all trainings but the first.
    """
    names = [span for span in record.spans if span in record.measured]
    if not names:
        return {}
    found = _read(folder, record, names)
    return {
        "metrics": list(METRICS),
        "confidence": CONFIDENCE,
        "first_training": _cost(record, record.spans[0], NEVER),
        "spans": [
            _span(record, name, found, index) for index, name in enumerate(names)
        ],
        "overall": {ranker: _estimates(found, ranker) for ranker in RANKERS},
        "differences": [
            _difference(found, first, second, some)
            for first, second in DIFFERENCES
            if (some := found.can_differ(first, second)).any()
        ],
        "cost": {policy: _total(record, policy) for policy in (WARM, COLD)},
    }


def _read(folder: RehearsalFolder, record: Record, names: Sequence[str]) -> _Measured:
    users, spans = [], []
    values: dict[str, list[list[FloatArray]]] = {r: [] for r in RANKERS}
    for index, name in enumerate(names):
        ids, of_span = folder.values(name)
        rankers = record.measured[name]["rankers"]
        users.append(ids)
        spans.append(np.full(len(ids), index))
        for ranker in RANKERS:
            columns = [
                rankers.index(_column(ranker, seed, rankers)) for seed in record.seeds
            ]
            values[ranker].append([of_span[:, column] for column in columns])
    return _Measured(
        np.concatenate(users),
        np.concatenate(spans),
        {
            ranker: [
                np.concatenate(parts, axis=1) for parts in zip(*blocks, strict=True)
            ]
            for ranker, blocks in values.items()
        },
    )


def _column(ranker: str, seed: int, rankers: Sequence[str]) -> str:
    """The column with a policy's values: at first all have the model of one."""
    if ranker == POPULARITY:
        return POPULARITY
    name = model_name(ranker, seed)
    return name if name in rankers else model_name(NEVER, seed)


def _span(record: Record, name: str, found: _Measured, index: int) -> dict[str, Any]:
    some = found.span == index
    counts = record.measured[name]
    return {
        "name": name,
        **{key: counts[key] for key in ("ratings", "users", "queries", "events")},
        "unknown_users": counts["unknown_users"],
        "measure_seconds": counts["seconds"],
        "quality": {ranker: _estimates(found, ranker, some) for ranker in RANKERS},
        "differences": [
            _difference(found, first, second, some)
            for first, second in DIFFERENCES
            if index or POPULARITY in (first, second)
        ],
        "cost": {
            policy: cost
            for policy in (WARM, COLD)
            if (cost := _cost(record, name, policy)) is not None
        },
    }


def _estimates(
    found: _Measured, ranker: str, some: NDArray[np.bool_] | None = None
) -> dict[str, list[float | None]]:
    """Metric -> value and interval, of all users or of some."""
    values, users = found.mean(ranker), found.users
    if some is not None:
        values, users = values[:, some], users[some]
    quantile = uncertainty.two_sided(CONFIDENCE)
    estimates = {}
    for metric, row in zip(METRICS, values, strict=True):
        mean, error = clustered(row, users)
        count = len(np.unique(users))
        ends = uncertainty.fraction_interval(mean, error, count, quantile)
        estimates[metric] = _json(mean, *ends)
    return estimates


def _difference(
    found: _Measured, first: str, second: str, some: NDArray[np.bool_]
) -> dict[str, Any]:
    """The paired difference of two rankers for some users."""
    quantile = uncertainty.two_sided(CONFIDENCE)
    metrics = {}
    for row, metric in enumerate(METRICS):
        by_seed = [
            one[row, some] - other[row, some]
            for one, other in zip(
                found.values[first], found.values[second], strict=True
            )
        ]
        mean, error = clustered(np.mean(by_seed, axis=0), found.users[some])
        ends = uncertainty.normal_interval(mean, error, quantile, -1.0, 1.0)
        metrics[metric] = {
            "value": _json(mean, *ends),
            "by_seed": _json(*(float(np.mean(values)) for values in by_seed)),
        }
    return {"first": first, "second": second, "users": int(some.sum()), **metrics}


def clustered(values: FloatArray, clusters: NDArray[Any]) -> tuple[float, float]:
    """Returns a mean and its standard error, if values of a cluster are dependent.

    Args:
      values: `[n]`.
      clusters: `[n]` of any type.

    Returns:
      NaN without values; the error is infinite with a single cluster.
    """
    if not len(values):
        return math.nan, math.nan
    mean = float(np.mean(values))
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.bincount(index, weights=values - mean)
    if len(sums) == 1:
        return mean, math.inf
    correction = len(sums) / (len(sums) - 1)
    return mean, math.sqrt(correction * float((sums**2).sum())) / len(values)


def _cost(record: Record, span: str, policy: str) -> dict[str, float] | None:
    """Means over seeds of a training; None if there was none."""
    done = record.trained.get(span, {})
    names = (model_name(policy, seed) for seed in record.seeds)
    found = [done[name] for name in names if name in done]
    if not found:
        return None
    return {
        key: round(float(np.mean([one[key] for one in found])), 3)
        for key in ("train_seconds", "step_seconds", "epochs", "targets")
    }


def _total(record: Record, policy: str) -> dict[str, float]:
    """Sums over the retrainings of a policy, the first training left out."""
    costs = [c for span in record.spans if (c := _cost(record, span, policy))]
    return {
        "trainings": len(costs),
        **{
            key: round(sum(cost[key] for cost in costs), 2)
            for key in ("train_seconds", "step_seconds")
        },
    }


def _json(*values: float) -> list[float | None]:
    """Rounded, and None for what JSON lacks."""
    return [round(v, 6) if math.isfinite(v) else None for v in values]
