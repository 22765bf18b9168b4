"""The lists and scales that MovieLens fixes: genres, occupations, ages, ratings.

They are written down because they never change: a vocabulary made from the data would
cost Transform a pass over it for each. Readers of files, the schema, synthetic data,
the model and the report take them from here; the module imports next to nothing.

Sources: the READMEs at https://files.grouplens.org/datasets/movielens/ (ML-25M,
"Genres"; ML-1M, "USERS FILE DESCRIPTION") and `u.genre`, `u.occupation` of ML-100K.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


GENRES: Final = _names(
    "Action,Adventure,Animation,Children,Comedy,Crime,Documentary,Drama,Fantasy,"
    "Film-Noir,Horror,IMAX,Musical,Mystery,Romance,Sci-Fi,Thriller,War,Western"
)
# What ML-100K, ML-1M and ML-10M call "Children".
CHILDRENS: Final = "Children's"
# The flags of ML-100K's u.item in column order: no IMAX, and "unknown" for no genre.
ML_100K_GENRES: Final = (
    "unknown",
    *(CHILDRENS if g == "Children" else g for g in GENRES if g != "IMAX"),
)

GENDERS: Final = ("F", "M")

ML_100K_OCCUPATIONS: Final = _names(
    "administrator,artist,doctor,educator,engineer,entertainment,executive,"
    "healthcare,homemaker,lawyer,librarian,marketing,none,other,programmer,"
    "retired,salesman,scientist,student,technician,writer"
)
# ML-1M stores an occupation as its index in this list.
ML_1M_OCCUPATIONS: Final = _names(
    "other,educator,artist,clerical,college student,customer service,doctor,"
    "executive,farmer,homemaker,K-12 student,lawyer,programmer,retired,salesman,"
    "scientist,self-employed,engineer,craftsman,unemployed,writer"
)
# Of all editions, those of ML-100K first. Any other counts as unknown.
OCCUPATIONS: Final = tuple(dict.fromkeys((*ML_100K_OCCUPATIONS, *ML_1M_OCCUPATIONS)))

# Lower bounds of all age groups but the youngest, as ML-1M publishes them, in years.
AGE_BOUNDS: Final = (18, 25, 35, 45, 50, 56)

# In RE2's syntax: what Transform removes from a title before it makes words of it.
TITLE_YEAR: Final = r"\(\d{4}\)\s*$"
NO_WORD: Final = r"[^\pL\pN]+"
# "(1995)" or a series' first year, "(2006-2007)" or "(2006–)", at the title's end.
_YEAR: Final = re.compile(r"\(([0-9]{4})(?:[-\u2013][0-9]{0,4})?\)\s*$")


def title_year(title: str) -> int | None:
    """Returns the year at the end of a title; None if there is none."""
    year = _YEAR.search(title)
    return int(year.group(1)) if year else None


_MOST_RATINGS: Final = 1000  # that a scale may have
_TOLERANCE: Final = 1e-3  # of a step: a float32 of 3.7 is no multiple of 0.1


@dataclass(frozen=True)
class RatingScale:
    """The ratings that users could give.

    Attributes:
      lowest: In stars, or whatever the ratings are given in.
      highest: In the same unit.
      step: Distance between two possible ratings.
    """

    lowest: float
    highest: float
    step: float

    @classmethod
    def of(cls, values: Sequence[float] | None) -> RatingScale:
        """Returns the scale that `data.rating_scale` names.

        Args:
          values: Lowest rating, highest rating and step; None for the scale that the
            ratings of every edition are on.
        """
        return HALF_STARS if values is None else cls(*values)

    def __str__(self) -> str:
        """`0.5 to 5 in steps of 0.5`."""
        return f"{self.lowest:g} to {self.highest:g} in steps of {self.step:g}"

    @property
    def num_ratings(self) -> int:
        """How many different ratings there are."""
        return round((self.highest - self.lowest) / self.step) + 1

    @property
    def liked(self) -> float:
        """The rating of a movie that somebody liked: 4 of 5 stars, 8 of 10 points."""
        steps = (self.highest - self.lowest) / self.step
        return self.lowest + round(steps * 7 / 9) * self.step

    def fault(self) -> str:
        """Returns why these numbers are no scale; empty if they are one."""
        if not all(map(math.isfinite, (self.lowest, self.highest, self.step))):
            return "all three numbers must be finite"
        if self.lowest < 0:
            return (
                f"the lowest rating is {self.lowest:g}, but it must be at least 0: "
                "shift the ratings"
            )
        if self.highest < self.lowest:
            return (
                f"the highest rating, {self.highest:g}, is below the lowest, "
                f"{self.lowest:g}"
            )
        steps = (self.highest - self.lowest) / self.step if self.step > 0 else 0.5
        if steps >= _MOST_RATINGS:
            return f"it has {steps + 1:,.0f} ratings, more than {_MOST_RATINGS:,}"
        if abs(steps - round(steps)) > _TOLERANCE:
            return (
                f"steps of {self.step:g} do not lead from {self.lowest:g} to "
                f"{self.highest:g}"
            )
        return ""

    def shown(self, rating: float) -> str:
        """Returns a rating for people: `4★`, or `8 of 10` on another scale."""
        is_stars = self.highest == HALF_STARS.highest
        return f"{rating:g}★" if is_stars else f"{rating:g} of {self.highest:g}"


WHOLE_STARS: Final = RatingScale(1, 5, 1)
HALF_STARS: Final = RatingScale(0.5, 5, 0.5)
