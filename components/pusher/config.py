"""Who decides that a model goes live, and how it does."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
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


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class RolloutConfig:
    """How a pushed version goes live, and what a model server is to read.

    Attributes:
      rollout: `direct` makes a pushed version live; `canary` gives it the label
        `canary`, beside the live one, until `two-tower promote`.
      model_name: Name of the model in `models.config`.
      base_path: Path of the serving directory as the model server sees it, in
        `models.config`; None for the path by which it is pushed to.
    """

    rollout: Literal["direct", "canary"] = "direct"
    model_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] = "two-tower"
    base_path: Annotated[str, Field(pattern=r"^(/|[a-z][a-z0-9+.-]*://)")] | None = None
