"""The configuration of DataGate: `DataGateConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from trainer.config import FROZEN, PositiveInt, Scale

Split = Literal["train", "eval", "corpus"]
# Features of both train and eval rows whose distribution may be compared.
Distributed = Literal[
    "movie_ids", "ratings", "activity", "age", "gender", "occupation", "zip_code"
]
Divergence = Annotated[float, Field(gt=0, le=1)]


def _min_rows() -> Mapping[Split, int]:
    return {"train": 10, "eval": 10, "corpus": 10}


# docs/data.md has measurements of real editions.
def _max_drift() -> Mapping[Distributed, Divergence]:
    return {"movie_ids": 0.15, "ratings": 0.1}


def _max_skew() -> Mapping[Distributed, Divergence]:
    return {"ratings": 0.1}


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class DataGateConfig:
    """The limits beyond which DataGate stops the run.

    Attributes:
      min_rows: Rows that a split must have at least.
      max_drift: Feature -> Jensen-Shannon divergence (0 to 1) of the train split from
        the one that the live model was trained on; empty for no bound.
      max_skew: Feature -> Jensen-Shannon divergence of the eval from the train split.
      rating_scale: See `ExampleGenConfig`; ratings are compared value by value.
    """

    min_rows: Mapping[Split, PositiveInt] = Field(default_factory=_min_rows)
    max_drift: Mapping[Distributed, Divergence] = Field(default_factory=_max_drift)
    max_skew: Mapping[Distributed, Divergence] = Field(default_factory=_max_skew)
    rating_scale: Scale | None = None
