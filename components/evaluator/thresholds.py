"""Thresholds of a blessing: what they compare, and by how much a model meets them.

TFMA compares a metric with a constant, but our thresholds also depend on the noise. So
TFMA computes the *margin* of each threshold, negative where it is not met, and compares
it with 0. With `e()` for the adjusted standard error of a paired difference and `z` for
the one-sided quantile of the confidence:

    kind     all users together                          one slice
    floor    m - bound                                   upper bound of m - bound
    lift     min(m - bound * p, m - p - z * e(m - p))    m - l + z * e(m - l)
    change   m - b + max(bound, z * e(m - b))            the same

for a metric of the candidate `m`, of popularity `p` (`l = bound * p`) and of the live
model `b`. In words: over all users the candidate must be better than popularity beyond
noise; a loss against the live model is accepted up to the bound, or up to the noise;
and a slice, which may be small, fails only where it is worse beyond noise.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Final, Literal

from components.evaluator.config import EvalConfig, SliceThresholds
from components.evaluator.results import (
    QUERIES,
    Ranker,
    SliceResult,
    lift_of,
    popularity_of,
)
from components.metrics import uncertainty
from components.metrics.index_recall import IndexRecall
from components.metrics.paired import PairedSums

Kind = Literal["floor", "lift", "change"]
_NAN: Final = math.nan


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Result of one threshold in one slice, as in `retrieval_summary.json`.

    Attributes:
      metric: Name of the metric, e.g. "ndcg@10".
      kind: See `Threshold`.
      slice: `feature=value`; empty for all users together.
      queries: Number of queries of the slice.
      value: The candidate's metric.
      compared: What `bound` applies to: the value, the lift or the difference.
      reference: Popularity's or the live model's metric; NaN for a floor.
      bound: The least accepted value of `compared`, apart from noise.
      noise: How much of a difference noise explains, in units of the metric; 0 where
        noise does not count.
      passed: Whether the margin is not negative, as TFMA decides.
    """

    metric: str
    kind: Kind
    slice: str
    queries: int
    value: float
    compared: float
    reference: float
    bound: float
    noise: float
    passed: bool


@dataclasses.dataclass(frozen=True)
class Threshold:
    """One threshold on one metric.

    Attributes:
      kind: What is compared: the metric ("floor"), the metric with popularity's
        ("lift") or with the live model's ("change").
      metric: Name of the metric.
      bound: The floor, the factor over popularity, or the loss that is accepted.
      confidence: One-sided confidence of what counts as beyond noise.
      slice: Empty for all users together, `feature` for each of its values, or
        `feature=value`.
    """

    kind: Kind
    metric: str
    bound: float
    confidence: float
    slice: str = ""

    @property
    def name(self) -> str:
        """Name of the margin among TFMA's metrics."""
        scope = "slice" if self.slice else "overall"
        return (
            f"margin/{scope}/{self.kind}/{self.metric}/{self.bound}/{self.confidence}"
        )

    def applies_to(self, result: SliceResult) -> bool:
        """Whether it holds for all users together, or for that slice."""
        if self.slice and "=" not in self.slice:
            return list(result.features) == [self.slice]
        return result.name == self.slice

    def margin(self, sums: PairedSums, metric: int, is_fraction: bool) -> float:
        """Returns by how much a mean metric meets it; negative where it does not.

        Args:
          sums: Over the queries of the slice, of the rankers of `Ranker`.
          metric: Index of `self.metric` in `sums`.
          is_fraction: See `MeanMetric`.

        Returns:
          The margin; NaN without queries, which is not met.
        """
        quantile = uncertainty.one_sided(self.confidence)
        own = sums.mean(metric, Ranker.CANDIDATE)
        if self.kind == "floor":
            if not self.slice or not is_fraction:
                return own.mean - self.bound
            _, upper = uncertainty.fraction_interval(
                own.mean, own.standard_error, own.count, quantile
            )
            return upper - self.bound
        if self.kind == "change":
            change = sums.difference(metric, Ranker.CANDIDATE, Ranker.BASELINE)
            return change.mean + max(self.bound, quantile * change.adjusted_error)
        surplus = sums.difference(
            metric, Ranker.CANDIDATE, Ranker.POPULARITY, self.bound
        )
        if self.slice:
            return surplus.mean + quantile * surplus.adjusted_error
        gain = sums.difference(metric, Ranker.CANDIDATE, Ranker.POPULARITY)
        return min(surplus.mean, gain.mean - quantile * gain.adjusted_error)

    def outcome(self, result: SliceResult) -> Outcome:
        """Returns whether and how it is met in a slice that it applies to."""
        own, metric = result.candidate, self.metric
        value, margin = own.get(metric, _NAN), own.get(self.name, _NAN)
        reference, compared, bound = _NAN, value, self.bound
        # The margin is a difference with an allowance for noise: the rest of it.
        noise = margin - (value - bound)
        if self.kind == "lift":
            reference = own.get(popularity_of(metric), _NAN)
            compared = own.get(lift_of(metric), _NAN)
            noise = margin - (value - bound * reference)
            if not self.slice:
                noise = (value - reference) - margin
        if self.kind == "change":
            reference = (result.baseline or {}).get(metric, _NAN)
            compared, bound = value - reference, -self.bound
            noise = margin - compared
        return Outcome(
            metric=metric,
            kind=self.kind,
            slice=result.name,
            queries=int(own[QUERIES]),
            value=value,
            compared=compared,
            reference=reference,
            bound=bound,
            noise=noise,
            passed=margin >= 0,
        )


def thresholds_of(config: EvalConfig, has_baseline: bool) -> list[Threshold]:
    """Returns the thresholds of a configuration.

    Args:
      config: The configuration.
      has_baseline: Whether there is a live model, without which `max_drop` is void.
    """
    found: list[Threshold] = []
    groups: dict[str, EvalConfig | SliceThresholds] = {"": config}
    for name, group in {**groups, **config.slice_thresholds}.items():
        confidence = config.slice_confidence if name else config.confidence
        bounds: dict[Kind, Mapping[str, float]]
        bounds = {"floor": group.floors, "lift": group.min_lift}
        if group is config and config.min_index_recall:
            of_index = {IndexRecall.name: config.min_index_recall}
            bounds["floor"] = {**config.floors, **of_index}
        if has_baseline:
            bounds["change"] = group.max_drop
        found += [
            Threshold(kind, metric, bound, confidence, name)
            for kind, of_metrics in bounds.items()
            for metric, bound in of_metrics.items()
        ]
    return found
