"""`RetrainConfig`: when to retrain, and what is kept of old retrainings."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from trainer.config import FROZEN, PositiveInt


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class RetrainConfig:
    """When to retrain, and what is kept. Nothing here changes a model.

    Attributes:
      keep_runs: Successful runs of which artifacts and logs are kept after a
        retraining, and as many that did not succeed. The run that pushed a kept version
        is always kept.
      keep_versions: Newest served versions to keep after a retraining, the live one
        among them.
    """

    keep_runs: PositiveInt = 5
    keep_versions: PositiveInt = 3
