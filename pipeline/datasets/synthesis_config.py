"""Configuration of synthetic data: its size, and how much taste is planted in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from trainer.errors import UsageError

# One for each group; all are in `trainer.movielens.ML_100K_GENRES`.
GENRES: Final = (
    *("Action", "Animation", "Comedy", "Crime", "Documentary"),
    *("Drama", "Horror", "Musical", "Romance", "Sci-Fi"),
)
_UNITS: Final = {"": 1, "k": 1_000, "m": 1_000_000}
_RATINGS_PER_USER: Final = 150


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig:
    """Size and properties of synthetic ratings.

    Attributes:
      ratings: Number of ratings, about: a user rates no movie twice.
      users: Number of users.
      movies: Number of movies; some are never rated.
      groups: Number of groups of movies with the same fans and the same genre.
      favourites: Number of groups that a user likes.
      taste: Share of a user's ratings that go to the favourite groups.
      popularity_exponent: Of the power law; 0 makes all movies equally popular.
      format: The edition whose file format is used.
      seed: Equal seeds give equal files.
    """

    ratings: int = 100_000
    users: int = 943
    movies: int = 1_682
    groups: int = len(GENRES)
    favourites: int = 2
    taste: float = 0.9
    popularity_exponent: float = 0.8
    format: Literal["ml-100k", "csv"] = "csv"
    seed: int = 42

    def __post_init__(self) -> None:
        """Checks that the sizes are possible.

        Raises:
          UsageError: A size is not positive, or asks for more than there can be.
        """
        for name in ("ratings", "users", "movies", "groups", "favourites"):
            if getattr(self, name) < 1:
                raise UsageError(
                    f"{name} is {getattr(self, name)}", "It must be at least 1."
                )
        if self.groups > min(self.movies, len(GENRES)):
            raise UsageError(
                f"groups is {self.groups}",
                f"It may be at most {min(self.movies, len(GENRES))}.",
            )
        if self.ratings > self.users * self.movies // 2:
            raise UsageError(
                f"{self.ratings} ratings are more than half of {self.users} users "
                f"times {self.movies} movies",
                "Ask for more users or movies, or for fewer ratings.",
            )


def parse_count(text: str) -> int:
    """Reads "500", "100k" or "2.5m".

    Raises:
      UsageError: It has another form.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([km]?)", text.strip().lower())
    if match is None:
        raise UsageError(f"{text!r} is not a number", "Write it like 500k or 25m.")
    return int(float(match.group(1)) * _UNITS[match.group(2)])


def config_of_size(
    ratings: int,
    *,
    users: int | None = None,
    movies: int | None = None,
    family: Literal["ml-100k", "csv"] = "csv",
    seed: int = 42,
) -> SynthesisConfig:
    """Returns a configuration with the sizes of an edition with that many ratings.

    Raises:
      UsageError: The sizes do not fit together.
    """
    # ML-100K has 1,682 movies, ML-25M 62,423.
    usual_movies = max(60, round(1_700 * (ratings / 100_000) ** 0.65))
    return SynthesisConfig(
        ratings=ratings,
        users=users or max(10, ratings // _RATINGS_PER_USER),
        movies=movies or usual_movies,
        format=family,
        seed=seed,
    )
