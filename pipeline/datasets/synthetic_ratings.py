"""Draws synthetic ratings: who rates what, when and how, in columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from pipeline.datasets.synthesis_config import SynthesisConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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


def group_of(movie: Any, config: SynthesisConfig) -> Any:
    """Returns the group of a movie, by its number from 0; also for arrays."""
    return movie % config.groups


def favourite_of(user: Any, which: Any, config: SynthesisConfig) -> Any:
    """Returns the `which`-th favourite group of a user, by number from 0."""
    step = 1 + user // config.groups % max(config.groups - 1, 1)
    return (user + which * step) % config.groups


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
    import numpy as np

    lengths = _lengths(config)
    for first in range(0, config.users, _USERS_PER_BLOCK):
        rng = np.random.default_rng((config.seed, 1, first))
        wanted = lengths[first : first + _USERS_PER_BLOCK]
        users, movies, liked = _draw(first, wanted, config, rng)
        ratings = np.where(liked, 4.2, 2.8) + rng.normal(0, 0.8, len(users))
        step = 1.0 if config.format == "ml-100k" else 0.5
        stars = np.clip(np.round(ratings / step) * step, step, 5.0)
        yield users + 1, movies + 1, stars, _timestamps(users, rng)


def _lengths(config: SynthesisConfig) -> NDArray[np.int64]:
    """Draws the number of ratings of each user: log-normal, scaled to the total."""
    import numpy as np

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
    import numpy as np

    pairs = np.zeros(0, np.int64)
    liked = np.zeros(0, bool)
    for round_number in range(_ROUNDS):
        have = np.bincount(pairs // config.movies, minlength=len(wanted))
        missing = np.maximum(wanted - have, 0)
        drawn = np.ceil(missing * _EXCESS).astype(np.int64)
        users = np.repeat(np.arange(len(wanted)), drawn)
        likes = rng.random(len(users)) < config.taste / 2**round_number
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
    """Draws a movie for each user, of a favourite group where `likes`."""
    import numpy as np

    which = rng.integers(0, config.favourites, len(users))
    favourite = favourite_of(users, which, config)
    other = rng.integers(0, config.groups, len(users))
    return _draw_in_group(np.where(likes, favourite, other), config, rng)


def _draw_in_group(
    groups: NDArray[np.int64], config: SynthesisConfig, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draws a movie of each group by popularity."""
    import numpy as np

    sizes = (config.movies - np.arange(config.groups) - 1) // config.groups + 1
    weights = np.arange(1, sizes.max() + 1) ** -config.popularity_exponent
    cumulative = np.cumsum(weights) / weights.sum()
    ranks = np.searchsorted(cumulative, rng.random(len(groups)))
    # Shuffled, so that a small id does not mean a popular movie.
    shuffled = np.random.default_rng((config.seed, 2)).permutation(sizes.max())
    ranks = shuffled[np.minimum(ranks, sizes.max() - 1)] % sizes[groups]
    movies: NDArray[np.int64] = ranks * config.groups + groups
    return movies


def _timestamps(
    users: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draws sessions of quick ratings, some in one second, with long pauses between."""
    import numpy as np

    lengths = np.bincount(users - users[0]) if len(users) else np.zeros(1, np.int64)
    gaps = np.round(rng.exponential(_SHORT_GAP, len(users)))
    pause = _YEARS_ACTIVE * _YEAR_SECONDS / (1 + lengths * _LONG_GAP_SHARE)
    long = rng.random(len(users)) < _LONG_GAP_SHARE
    gaps[long] += rng.exponential(1, long.sum()) * np.repeat(pause, lengths)[long]
    total = np.cumsum(gaps)
    starts = np.cumsum(lengths) - lengths
    begin = rng.uniform(0, 2 * _YEAR_SECONDS, len(lengths)) - total[starts]
    moments: NDArray[np.float64] = total + np.repeat(begin, lengths)
    return _FIRST_SECOND + moments.astype(np.int64)
