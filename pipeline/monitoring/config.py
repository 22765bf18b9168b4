"""`MonitoringConfig`: where the metrics of a retraining are written."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from trainer.config import FROZEN


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class MonitoringConfig:
    """Where the metrics of a retraining are written for Prometheus."""
