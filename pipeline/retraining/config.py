"""`RetrainConfig`: when to retrain, and what is kept of old retrainings."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from trainer.config import FROZEN


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class RetrainConfig:
    """When to retrain, and what is kept. Nothing here changes a model."""
