"""Synthetic ratings: their size and taste, and who rates what, when and how."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from trainer.errors import UsageError
from trainer.movielens import HALF_STARS, WHOLE_STARS

# One for each group of movies with the same fans: see `ML_100K_GENRES`.
GENRES: Final = (
    *("Action", "Animation", "Comedy", "Crime", "Documentary"),
    *("Drama", "Horror", "Musical", "Romance", "Sci-Fi"),
)
# Thirty times the largest edition, which still fits into memory.
_BOUNDS: Final = {
    "ratings": (1, 10**9),
    "users": (1, 10**7),
    "movies": (len(GENRES), 10**6),
    "seed": (0, 2**63 - 1),
}
# Number of groups that a user likes.
FAVOURITES: Final = 2
# Share of a user's ratings that go to the favourite groups.
_TASTE: Final = 0.9
# Of the power law.
_POPULARITY_EXPONENT: Final = 0.8
_UNITS: Final = {"": 1, "k": 1_000, "m": 1_000_000}
_RATINGS_PER_USER: Final = 150
_FIRST_SECOND: Final = 874_724_710  # September 1997, as in ML-100K
_YEAR_SECONDS: Final = 365 * 86_400
_USERS_PER_BLOCK: Final = 10_000
# As GroupLens publishes no user with fewer ratings.
_MIN_RATINGS: Final = 20
# Factor of draws in excess: a movie that a user draws twice counts once.
_EXCESS: Final = 1.3
_ROUNDS: Final = 4
_LONG_GAP_SHARE: Final = 0.1
_SHORT_GAP: Final = 30  # seconds, on average
_YEARS_ACTIVE: Final = 1.5  # at most, on average


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig:
    """Size and properties of synthetic ratings.

    Attributes:
      ratings: Number of ratings, about: a user rates no movie twice.
      users: Number of users.
      movies: Number of movies; some are never rated.
      format: The edition whose file format is used.
      seed: Equal seeds give equal files.
    """

    ratings: int = 100_000
    users: int = 943
    movies: int = 1_682
    format: Literal["ml-100k", "csv"] = "csv"
    seed: int = 42

    def __post_init__(self) -> None:
        """Checks that the sizes are possible.

        Raises:
          UsageError: A size is too small or too large, or asks for more than there
            can be.
        """
        for name, (least, most) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                raise UsageError(
                    f"{name} is {getattr(self, name)}",
                    f"It must be at least {least:,} and at most {most:,}.",
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
    match = re.fullmatch(
        r"([0-9]{1,15}(?:\.[0-9]{1,15})?)([km]?)", text.strip().lower()
    )
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
        users=max(10, ratings // _RATINGS_PER_USER) if users is None else users,
        movies=usual_movies if movies is None else movies,
        format=family,
        seed=seed,
    )


def group_of(movie: Any) -> Any:
    """Returns the group of a movie, by its number from 0; also for arrays."""
    return movie % len(GENRES)


def favourite_of(user: Any, which: Any) -> Any:
    """Returns the `which`-th favourite group of a user, by number from 0."""
    step = 1 + user // len(GENRES) % (len(GENRES) - 1)
    return (user + which * step) % len(GENRES)


def rating_blocks(
    config: SynthesisConfig,
) -> Iterator[
    tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]
]:
    """Yields blocks of users' ratings, oldest first within a user.

    Yields:
      (user ids, movie ids, ratings in stars, timestamps in seconds), each
      `[num_ratings_of_block]`; ids count from 1.
    """
    lengths = _lengths(config)
    for first in range(0, config.users, _USERS_PER_BLOCK):
        rng = np.random.default_rng((config.seed, 1, first))
        wanted = lengths[first : first + _USERS_PER_BLOCK]
        users, movies, liked = _draw(first, wanted, config, rng)
        ratings = np.where(liked, 4.2, 2.8) + rng.normal(0, 0.8, len(users))
        scale = WHOLE_STARS if config.format == "ml-100k" else HALF_STARS
        steps = np.round(ratings / scale.step) * scale.step
        stars = np.clip(steps, scale.lowest, scale.highest)
        yield users + 1, movies + 1, stars, _timestamps(users, rng)


def _lengths(config: SynthesisConfig) -> NDArray[np.int64]:
    """Draws the number of ratings of each user: log-normal, scaled to the total."""
    rng = np.random.default_rng((config.seed, 0))
    mean = config.ratings / config.users
    least = min(_MIN_RATINGS, mean / 2)
    drawn = rng.lognormal(0, 1, config.users)
    lengths = least + drawn * (mean - least) / drawn.mean()
    return np.clip(np.round(lengths), 1, max(config.movies // 2, 1)).astype(np.int64)


def _draw(
    first: int,
    wanted: NDArray[np.int64],
    config: SynthesisConfig,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Draws distinct movies for each user, in random order within a user.

    Users who have seen most of their favourite groups turn to others: each round draws
    what is still missing, with half the taste of the round before.
    """
    pairs = np.zeros(0, np.int64)
    liked = np.zeros(0, bool)
    for round_number in range(_ROUNDS):
        have = np.bincount(pairs // config.movies, minlength=len(wanted))
        missing = np.maximum(wanted - have, 0)
        drawn = np.ceil(missing * _EXCESS).astype(np.int64)
        users = np.repeat(np.arange(len(wanted)), drawn)
        likes = rng.random(len(users)) < _TASTE / 2**round_number
        movies = _draw_movies(users + first, likes, config, rng)
        pairs = np.concatenate([pairs, users * config.movies + movies])
        liked = np.concatenate([liked, likes])
        pairs, kept = np.unique(pairs, return_index=True)
        liked = liked[kept]
    order = np.lexsort((rng.random(len(pairs)), pairs // config.movies))
    users, movies = np.divmod(pairs[order], config.movies)
    position = np.arange(len(users)) - np.searchsorted(users, users)
    chosen = position < wanted[users]
    return users[chosen] + first, movies[chosen], liked[order][chosen]


def _draw_movies(
    users: NDArray[np.int64],
    likes: NDArray[np.bool_],
    config: SynthesisConfig,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Draws a movie for each user by popularity, of a favourite group where `likes`."""
    which = rng.integers(0, FAVOURITES, len(users))
    favourite = favourite_of(users, which)
    other = rng.integers(0, len(GENRES), len(users))
    groups = np.where(likes, favourite, other)
    sizes = (config.movies - np.arange(len(GENRES)) - 1) // len(GENRES) + 1
    weights = np.arange(1, sizes.max() + 1) ** -_POPULARITY_EXPONENT
    cumulative = np.cumsum(weights) / weights.sum()
    ranks = np.searchsorted(cumulative, rng.random(len(groups)))
    # Shuffled, so that a small id does not mean a popular movie.
    shuffled = np.random.default_rng((config.seed, 2)).permutation(sizes.max())
    ranks = shuffled[np.minimum(ranks, sizes.max() - 1)] % sizes[groups]
    return ranks * len(GENRES) + groups


def _timestamps(
    users: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draws sessions of quick ratings, some in one second, with long pauses between."""
    lengths = np.bincount(users - users[0]) if len(users) else np.zeros(1, np.int64)
    gaps = np.round(rng.exponential(_SHORT_GAP, len(users)))
    pause = _YEARS_ACTIVE * _YEAR_SECONDS / (1 + lengths * _LONG_GAP_SHARE)
    long = rng.random(len(users)) < _LONG_GAP_SHARE
    gaps[long] += rng.exponential(1, long.sum()) * np.repeat(pause, lengths)[long]
    total = np.cumsum(gaps)
    starts = np.cumsum(lengths) - lengths
    begin = rng.uniform(0, 2 * _YEAR_SECONDS, len(lengths)) - total[starts]
    return _FIRST_SECOND + (total + np.repeat(begin, lengths)).astype(np.int64)
