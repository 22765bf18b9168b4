"""Each threshold with its outcome, and the sentence that explains it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Set
from typing import Final, Literal

from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.results import SliceResult, Values
from components.metrics.popularity_lift import LIFT_PREFIX, POPULARITY_PREFIX
from components.metrics.tfma_metric import metric_name

_NAN: Final = float("nan")
_MAX_DECIMALS: Final = 10


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one threshold over all users.

    Attributes:
      metric: Name of the accuracy metric, e.g. "ndcg@10".
      kind: What the bound is for: the value itself, the value over popularity's, or
        the value minus the live model's.
      value: The candidate's metric.
      compared: What `bound` is for: the value, the lift or the difference.
      reference: Popularity's or the live model's metric; NaN for a floor.
      bound: The least that is accepted for `compared`.
      passed: TFMA's verdict.
    """

    metric: str
    kind: Literal["floor", "lift", "change"]
    value: float
    compared: float
    reference: float
    bound: float
    passed: bool

    def __str__(self) -> str:
        """One sentence for people."""
        value, bound = self.value, self.bound
        link = ", " if self.passed else ", but "
        if self.kind == "lift":
            lift = f"{_differing(self.compared, bound, 1)}x"
            if math.isinf(self.compared):
                lift = "above"
            return (
                f"{self.metric} {value:.4f} is {lift} popularity "
                f"({self.reference:.4f}){link}at least {bound:g}x is required"
            )
        if self.kind == "change":
            change = _differing(self.compared, bound, 4)
            return (
                f"{self.metric} {value:.4f} is {change} against the live model "
                f"({self.reference:.4f}){link}at least {bound:+.4f} is required"
            )
        return (
            f"{self.metric} is {_differing(value, bound, 4)}{link}"
            f"at least {bound:g} is required"
        )


def outcomes(
    eval_config: config_pb2.EvalConfig,
    overall: SliceResult,
    failed: Set[tuple[str, bool]],
) -> Iterator[Outcome]:
    """Yields the outcome of every threshold that was checked, in metric order.

    Args:
      eval_config: What TFMA was asked for.
      overall: Metrics of all users together.
      failed: See `results.failed_thresholds`.
    """
    for config in (
        metric for spec in eval_config.metrics_specs for metric in spec.metrics
    ):
        name = metric_name(config)
        for of_slice in config.per_slice_thresholds:
            threshold = of_slice.threshold
            if threshold.HasField("value_threshold"):
                bound = threshold.value_threshold.lower_bound.value
                passed = name in overall.candidate and (name, False) not in failed
                yield _of_value(name, overall.candidate, bound, passed)
            if threshold.HasField("change_threshold") and overall.baseline is not None:
                value = overall.candidate.get(name, _NAN)
                reference = overall.baseline.get(name, _NAN)
                yield Outcome(
                    metric=name,
                    kind="change",
                    value=value,
                    compared=value - reference,
                    reference=reference,
                    bound=threshold.change_threshold.absolute.value,
                    passed=(name, True) not in failed,
                )


def _of_value(name: str, values: Values, bound: float, passed: bool) -> Outcome:
    metric = name.removeprefix(LIFT_PREFIX)
    is_lift = metric != name
    return Outcome(
        metric=metric,
        kind="lift" if is_lift else "floor",
        value=values.get(metric, _NAN),
        compared=values.get(name, _NAN),
        reference=values.get(POPULARITY_PREFIX + metric, _NAN) if is_lift else _NAN,
        bound=bound,
        passed=passed,
    )


def _differing(value: float, bound: float, decimals: int) -> str:
    """Formats `value` with as many decimals as tell it from `bound`."""
    sign = "+" if bound <= 0 else ""
    while decimals < _MAX_DECIMALS and value != bound:
        if float(f"{value:.{decimals}f}") != float(f"{bound:.{decimals}f}"):
            break
        decimals += 1
    return f"{value:{sign}.{decimals}f}"
