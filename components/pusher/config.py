"""`ApprovalConfig`: who decides that a model goes live."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from trainer.config import FROZEN


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class ApprovalConfig:
    """Who decides that a model goes live.

    Attributes:
      approval: `automatic` pushes every model that is blessed and servable; `manual`
        leaves such a model to `two-tower approve`.
    """

    approval: Literal["automatic", "manual"] = "automatic"
