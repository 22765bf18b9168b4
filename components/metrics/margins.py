"""Thresholds as metrics: by how much a model passes, below zero where it does not.

TFMA compares a metric with a constant. What we ask for depends on the noise as well, so
each threshold is a metric of its own that TFMA compares with 0: its verdict is the only
verdict. With `e()` for the standard error and `z` for the quantile of the confidence:

    kind     all users together                          one slice
    floor    m - bound                                   upper end of m - bound
    lift     min(m - bound * p, m - p - z * e(m - p))    m - l + z * e(m - l)
    change   m - b + max(bound, z * e(m - b))            the same

for a metric of the candidate `m`, of popularity `p` (`l = bound * p`) and of the live
model `b`. In words: all users together must prove that the candidate beats popularity;
a loss against the live model is accepted up to the bound, or up to what noise explains;
and a slice, which may be small, is refused only where it is worse beyond noise.
"""

from __future__ import annotations

import dataclasses
from typing import Final, Literal, get_args

from components.metrics import uncertainty
from components.metrics.moments import Moments

Kind = Literal["floor", "lift", "change"]
Scope = Literal["overall", "slice"]
_PREFIX: Final = "margin"


@dataclasses.dataclass(frozen=True)
class Rule:
    """One threshold.

    Attributes:
      kind: What is compared with what, see the module.
      metric: Name of a mean metric.
      bound: The floor, the factor over popularity, or the loss that is accepted.
      confidence: Share of candidates without a fault that noise must not refuse.
      scope: Whether it holds for all users together or for a slice.
    """

    kind: Kind
    metric: str
    bound: float
    confidence: float
    scope: Scope

    @property
    def name(self) -> str:
        """Name of the metric that is the margin; `rule_named` is its inverse."""
        parts = (self.scope, self.kind, self.metric, self.bound, self.confidence)
        return "/".join((_PREFIX, *map(str, parts)))

    def noise(self, moments: Moments, metric: int) -> float:
        """What noise explains: `z * e(...)` of the module's table."""
        weights = {
            "floor": [1.0],
            "lift": [1.0, -1.0 if self.scope == "overall" else -self.bound],
            "change": [1.0, 0.0, -1.0],
        }[self.kind]
        error = moments.contrast(metric, weights).cautious_error
        return uncertainty.one_sided(self.confidence) * error

    def margin(self, moments: Moments, metric: int, is_fraction: bool) -> float:
        """By how much the rule is met; negative where it is not, NaN without queries.

        Args:
          moments: Of the slice's queries.
          metric: Place of `self.metric` in `moments`.
          is_fraction: See `MeanMetric`.
        """
        own = moments.contrast(metric, [1.0])
        if self.kind == "floor":
            if self.scope == "overall" or not is_fraction:
                return own.mean - self.bound
            quantile = uncertainty.one_sided(self.confidence)
            interval = uncertainty.fraction_interval(
                own.mean, own.standard_error, own.count, quantile
            )
            return interval.high - self.bound
        noise = self.noise(moments, metric)
        if self.kind == "change":
            return moments.contrast(metric, [1.0, 0.0, -1.0]).mean + max(
                self.bound, noise
            )
        surplus = moments.contrast(metric, [1.0, -self.bound]).mean
        if self.scope == "slice":
            return surplus + noise
        return min(surplus, moments.contrast(metric, [1.0, -1.0]).mean - noise)


def rule_named(name: str) -> Rule | None:
    """Returns the rule whose margin has that name; None for any other metric."""
    prefix, *parts = name.split("/")
    if prefix != _PREFIX:
        return None
    scope, kind, metric, bound, confidence = parts
    if scope not in get_args(Scope) or kind not in get_args(Kind):
        raise ValueError(f"There is no margin {name!r}")
    return Rule(kind, metric, float(bound), float(confidence), scope)  # type: ignore[arg-type]
