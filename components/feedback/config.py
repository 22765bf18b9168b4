"""`FeedbackConfig`: whether and how served recommendations are looked at again."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field
from pydantic.dataclasses import dataclass

from trainer.config import FROZEN, PositiveInt

DEFAULT_WINDOW_DAYS: Final = 7.0
DEFAULT_CUTOFF: Final = 10
_DAY: Final = 86_400  # seconds


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class FeedbackConfig:
    """How the report of a run judges what a model server has recommended.

    Nothing here changes a model, its evaluation or whether it is pushed.

    Attributes:
      impressions: Folder to which the server writes what it recommended, as `two-tower
        serve --log-impressions` does; None to leave that section out of the report.
      window_days: A recommendation counts as a hit if the user rates the movie within
        so many days.
      k: Number of movies of a list that are looked at.
    """

    impressions: Annotated[str, Field(min_length=1)] | None = None
    window_days: Annotated[float, Field(gt=0, le=3650)] = DEFAULT_WINDOW_DAYS
    k: PositiveInt = DEFAULT_CUTOFF

    @property
    def window_seconds(self) -> int:
        """The window in whole seconds, at least one."""
        return max(round(self.window_days * _DAY), 1)
