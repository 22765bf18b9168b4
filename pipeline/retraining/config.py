"""`RetrainConfig`: when to retrain, and what is kept of old retrainings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from trainer.config import FROZEN, PositiveInt

Drifting = Literal["movie_ids", "ratings"]
Divergence = Annotated[float, Field(gt=0, le=1)]


def _max_drift() -> Mapping[Drifting, Divergence]:
    return {"movie_ids": 0.15, "ratings": 0.1}


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class RetrainConfig:
    """When to retrain, and what is kept. Nothing here changes a model.

    Attributes:
      min_new_ratings: `retrain --if-needed` retrains when so many ratings are new; None
        for no bound.
      min_new_share: The same, as a share of all ratings before; None for no bound.
      max_drift: It retrains when the Jensen-Shannon divergence (0 to 1) of the newest
        span from the live model's training data is larger; empty for no bound.
      quality_confidence: It retrains when the live model's recall@10 on the newest span
        has fallen beyond noise at this confidence; None for no such check.
      keep_runs: Successful runs of which artifacts and logs are kept after a
        retraining, and as many that did not succeed. The run that pushed a kept version
        is always kept.
      keep_versions: Newest served versions to keep after a retraining, the live one
        among them.
    """

    min_new_ratings: PositiveInt | None = None
    min_new_share: Annotated[float, Field(gt=0)] | None = 0.05
    max_drift: Mapping[Drifting, Divergence] = Field(default_factory=_max_drift)
    quality_confidence: Annotated[float, Field(gt=0.5, lt=1)] | None = 0.99
    keep_runs: PositiveInt = 5
    keep_versions: PositiveInt = 3
