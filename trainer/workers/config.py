"""`WorkersConfig`: how many processes train. No part of what the model is."""

from __future__ import annotations

import os
from typing import Annotated, Final

from pydantic import Field
from pydantic.dataclasses import dataclass

from trainer.config import FROZEN

# Passes the number to the Trainer step: a parameter of the step would be a part of its
# cache key, and as few machines as possible should train the same model again.
WORKERS_VARIABLE: Final = "TWO_TOWER_TRAIN_WORKERS"


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class WorkersConfig:
    """By how many processes one model is trained.

    Attributes:
      workers: Processes that train together, each with a part of every batch and with
        all of the model and of the data in its memory. Another number neither trains
        again what is cached nor loses a checkpoint.
    """

    workers: Annotated[int, Field(ge=1, le=64)] = 1


def requested_workers() -> int:
    """Returns the number that the runner passed to this step."""
    return int(os.environ.get(WORKERS_VARIABLE) or 1)
