"""`NotifyConfig`: who learns how a retraining ended, and by which channel."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from trainer.config import FROZEN


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class NotifyConfig:
    """Channels of notifications. Secrets are named here and kept in the environment."""
