"""Types that the parts of the configuration share."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import ConfigDict, Field

PositiveInt = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

# An unknown key is a mistyped one.
FROZEN: Final = ConfigDict(extra="forbid")
# One of the project's own by name, or "package.module.Class" of somebody else's.
ClassName = Annotated[
    str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")
]
