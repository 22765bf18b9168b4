"""Types that the parts of the configuration share."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import ConfigDict, Field

PositiveInt = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

# An unknown key is a mistyped one.
FROZEN: Final = ConfigDict(extra="forbid")
