"""Each threshold with its outcome, and the sentence that explains it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.results import SliceResult, Verdict, slice_name
from components.metrics.margins import Rule, rule_named
from components.metrics.measurement import LIFT_PREFIX, POPULARITY_PREFIX, QUERIES
from components.metrics.tfma_metric import metric_name

_NAN: Final = float("nan")
_MAX_DECIMALS: Final = 10


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one threshold in one slice.

    Attributes:
      metric: Name of the metric, e.g. "ndcg@10".
      kind: What the bound is for: the value itself, the value over popularity's, or
        the value minus the live model's.
      slice: `feature=value`; empty for all users together.
      queries: Of the slice.
      value: The candidate's metric.
      compared: What `bound` is for: the value, the lift or the difference.
      reference: Popularity's or the live model's metric; NaN for a floor.
      bound: The least that is accepted for `compared`, noise aside.
      noise: What noise explains, in units of the metric; 0 where it does not count.
      passed: TFMA's verdict.
    """

    metric: str
    kind: Literal["floor", "lift", "change"]
    slice: str
    queries: int
    value: float
    compared: float
    reference: float
    bound: float
    noise: float
    passed: bool

    def __str__(self) -> str:
        """One sentence for people."""
        sentence = {"floor": self._floor, "lift": self._lift, "change": self._change}
        where = f"{self.slice} ({self.queries} users): " if self.slice else ""
        return where + sentence[self.kind]()

    @property
    def _link(self) -> str:
        return ", " if self.passed else ", but "

    def _floor(self) -> str:
        return (
            f"{self.metric} is {_differing(self.value, self.bound, 4)}{self._link}"
            f"at least {self.bound:g} is required{self._beyond_noise()}"
        )

    def _lift(self) -> str:
        lift = f"{_differing(self.compared, self.bound, 1)}x"
        if math.isinf(self.compared):
            lift = "above"
        start = f"{self.metric} {self.value:.4f} is {lift} popularity "
        start += f"({self.reference:.4f}){self._link}"
        if not (self.passed or self.slice) and self.compared >= self.bound:
            gain = self.value - self.reference
            return f"{start}a gain of {gain:+.4f} is within noise ({self.noise:.4f})"
        return f"{start}at least {self.bound:g}x is required{self._beyond_noise()}"

    def _change(self) -> str:
        least = -max(-self.bound, self.noise)
        start = (
            f"{self.metric} {self.value:.4f} is "
            f"{_differing(self.compared, least, 4)} against the live model "
            f"({self.reference:.4f}){self._link}at least {least:+.4f} is required"
        )
        return start + (" (noise)" if least < self.bound else "")

    def _beyond_noise(self) -> str:
        return f", beyond noise ({self.noise:.4f})" if self.slice else ""


def outcomes(
    eval_config: config_pb2.EvalConfig, slices: Sequence[SliceResult], verdict: Verdict
) -> Iterator[Outcome]:
    """Yields the outcome of every threshold that was checked, in metric order.

    Args:
      eval_config: What TFMA was asked for.
      slices: All slices, all users together included.
      verdict: What TFMA says.
    """
    for config in (
        metric for spec in eval_config.metrics_specs for metric in spec.metrics
    ):
        rule = rule_named(metric_name(config))
        if rule is None:
            continue
        for of_slice in config.per_slice_thresholds:
            for result in slices:
                if any(_holds_for(s, result) for s in of_slice.slicing_specs):
                    yield _outcome(rule, result, verdict)


def _holds_for(spec: config_pb2.SlicingSpec, result: SliceResult) -> bool:
    values = {name: str(value) for name, value in result.features.items()}
    named = {*spec.feature_keys, *spec.feature_values}
    return named == set(values) and dict(spec.feature_values).items() <= values.items()


def _outcome(rule: Rule, result: SliceResult, verdict: Verdict) -> Outcome:
    own, metric = result.candidate, rule.metric
    where = slice_name(result.features)
    value, margin = own.get(metric, _NAN), own.get(rule.name, _NAN)
    reference, compared, bound = _NAN, value, rule.bound
    # What the margin has beside the difference that it is made of is the noise.
    noise = margin - (value - bound)
    if rule.kind == "lift":
        reference = own.get(POPULARITY_PREFIX + metric, _NAN)
        compared = own.get(LIFT_PREFIX + metric, _NAN)
        noise = margin - (value - bound * reference)
        if rule.scope == "overall":
            noise = (value - reference) - margin
    if rule.kind == "change":
        reference = (result.baseline or {}).get(metric, _NAN)
        compared, bound = value - reference, -rule.bound
        noise = margin - compared
    return Outcome(
        metric=metric,
        kind=rule.kind,
        slice=where,
        queries=int(own[QUERIES]),
        value=value,
        compared=compared,
        reference=reference,
        bound=bound,
        noise=noise,
        passed=rule.name in own and (where, rule.name) not in verdict.failed,
    )


def _differing(value: float, bound: float, decimals: int) -> str:
    """Formats `value` with as many decimals as tell it from `bound`."""
    sign = "+" if bound <= 0 else ""
    while decimals < _MAX_DECIMALS and value != bound:
        if float(f"{value:.{decimals}f}") != float(f"{bound:.{decimals}f}"):
            break
        decimals += 1
    return f"{value:{sign}.{decimals}f}"
