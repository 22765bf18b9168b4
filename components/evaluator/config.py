"""The configuration of the evaluation: metrics, slices and thresholds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from trainer.config import FROZEN, PositiveInt

# Type of the validation error for the name of a metric; its context has `remedy`.
UNKNOWN_METRIC: Final = "unknown_metric"


def _metric_name(*families: str) -> AfterValidator:
    """Validates that a name is `mrr`, or one of the families with a cut-off."""
    pattern = re.compile(f"mrr|({'|'.join(families)})@[1-9][0-9]*")
    remedy = f"Write one of mrr, {', '.join(f'{name}@k' for name in families)}."

    def check(name: str) -> str:
        if not pattern.fullmatch(name):
            raise PydanticCustomError(UNKNOWN_METRIC, "{remedy}", {"remedy": remedy})
        return name

    return AfterValidator(check)


AccuracyMetric = Annotated[str, _metric_name("hit_rate", "recall", "ndcg", "map")]
# A mean over users, so that two models can be compared user by user.
MeanMetric = Annotated[
    str,
    _metric_name("hit_rate", "recall", "ndcg", "map", "novelty", "genre_diversity"),
]
Metric = Annotated[
    str,
    _metric_name(
        *("hit_rate", "recall", "ndcg", "map", "coverage", "novelty"),
        "genre_diversity",
    ),
]
# Computed on request: one of the project's, or a user's "package.module.Class@10".
OwnMetric = Annotated[
    str,
    Field(pattern=r"^(interaction_recall|([a-zA-Z_]\w*\.)+[a-zA-Z_]\w*)@[1-9][0-9]*$"),
]
# Each value of a feature, or one of them: "gender", "gender=F".
SliceName = Annotated[str, Field(pattern=r"^[a-z_]+(=.+)?$")]
# A bound of 0 refuses nothing; NaN refuses everything.
Bound = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Drop = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Confidence = Annotated[float, Field(ge=0.5, lt=1)]


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class SliceThresholds:
    """Thresholds of a slice, which fails only where it misses one beyond noise.

    Attributes:
      floors: Metric -> value that the candidate must reach.
      min_lift: Metric -> factor over popularity that the candidate must reach.
      max_drop: Metric -> absolute loss against the live model that is accepted.
    """

    floors: Mapping[AccuracyMetric, Bound] = Field(default_factory=dict)
    min_lift: Mapping[AccuracyMetric, Bound] = Field(default_factory=dict)
    max_drop: Mapping[MeanMetric, Drop] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class EvalConfig:
    """Metrics, slices and the thresholds that decide the blessing.

    Attributes:
      top_k: Cut-offs of the metrics.
      metrics: Further metrics: `interaction_recall@k`, or a class of your own as
        `package.module.Class@k`.
      exclude_seen: Whether the ranking leaves out movies that the user rated before the
        first one held out.
      slices: Features of eval rows to slice on.
      floors: Metric -> value that the candidate must reach.
      min_lift: Metric -> factor over popularity that the candidate must reach; that it
        is better than popularity at all must also be beyond noise.
      max_drop: Metric -> absolute loss against the live model that is accepted; a
        larger one is accepted only as far as noise explains it.
      min_index_recall: Share of the best movies that the index of the served model must
        find, as a mean over users; 0 for no requirement. An exact index finds all.
      slice_thresholds: Slice, `feature` or `feature=value` -> its thresholds.
      confidence: Confidence of the intervals, and of what is beyond noise for all users
        together: 0.95 refuses 1 good candidate in 20 because of noise.
      slice_confidence: The same for a slice. Nearer to 1, because there are many.
      ignore_broken_live_model: Whether a live model that cannot be evaluated (damaged,
        without the signature) is left out of the comparison instead of ending the run.
    """

    top_k: tuple[PositiveInt, ...] = (1, 5, 10, 50, 100)
    metrics: tuple[OwnMetric, ...] = ()
    exclude_seen: bool = True
    slices: tuple[str, ...] = (
        "activity",
        "user_kind",
        "gender",
        "age_group",
        "occupation",
        "held_out_opinion",
        "held_out_popularity",
        "held_out_genres",
        "held_out_decades",
    )
    floors: Mapping[Metric, Bound] = Field(
        default_factory=lambda: {"hit_rate@10": 0.02, "ndcg@10": 0.01}
    )
    min_lift: Mapping[AccuracyMetric, Bound] = Field(
        default_factory=lambda: {"ndcg@10": 1.1}
    )
    max_drop: Mapping[MeanMetric, Drop] = Field(
        default_factory=lambda: {"ndcg@10": 0.01}
    )
    min_index_recall: Share = 0.95
    slice_thresholds: Mapping[SliceName, SliceThresholds] = Field(
        default_factory=lambda: {
            "activity": SliceThresholds(
                min_lift={"ndcg@10": 1.0}, max_drop={"ndcg@10": 0.02}
            )
        }
    )
    confidence: Confidence = 0.95
    slice_confidence: Confidence = 0.99
    ignore_broken_live_model: bool = False

    @model_validator(mode="after")
    def _check_thresholds(self) -> EvalConfig:
        if not self.floors or not self.min_lift:
            raise ValueError(
                "eval.floors and eval.min_lift must each name at least one metric: "
                "without a threshold nothing could be refused"
            )
        groups: dict[str, EvalConfig | SliceThresholds] = {"eval": self}
        for name, of_slice in self.slice_thresholds.items():
            groups[f"eval.slice_thresholds.{name}"] = of_slice
        for key, group in groups.items():
            for kind in ("floors", "min_lift", "max_drop"):
                for metric in getattr(group, kind):
                    _, at, cutoff = metric.partition("@")
                    if at and int(cutoff) not in self.top_k:
                        raise ValueError(
                            f"{key}.{kind} names {metric}, but eval.top_k computes "
                            f"only {', '.join(map(str, self.top_k))}"
                        )
        return self

    @property
    def all_slices(self) -> tuple[str, ...]:
        """Features of `slices`, and those named only by `slice_thresholds`."""
        named = [name.partition("=")[0] for name in self.slice_thresholds]
        return tuple(dict.fromkeys([*self.slices, *named]))
