"""What every edition is read into, whatever its file format: columns and ids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int32]
Ids = NDArray[np.object_]
_U64 = np.uint64


@dataclass(frozen=True)
class Ratings:
    """Ratings as columns. Ids are codes into sorted arrays of UTF-8 byte strings.

    Attributes:
      users: `[num_ratings]` int32, index into `user_ids`.
      movies: `[num_ratings]` int32, index into `movie_ids`.
      ratings: `[num_ratings]` float32, stars.
      timestamps: `[num_ratings]` int64, seconds since the epoch, UTC.
      spans: `[num_ratings]` int32, index of the row's span, from the oldest.
      user_ids: `[num_users]` bytes, sorted, so that codes do not depend on file order.
      movie_ids: `[num_movies]` bytes, sorted.
    """

    users: Codes
    movies: Codes
    ratings: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    spans: Codes
    user_ids: Ids
    movie_ids: Ids

    def __len__(self) -> int:
        """Number of ratings."""
        return len(self.users)

    def take(self, index: NDArray[Any]) -> Ratings:
        """Returns the ratings at `index` (positions or a mask), ids unchanged."""
        return replace(
            self,
            users=self.users[index],
            movies=self.movies[index],
            ratings=self.ratings[index],
            timestamps=self.timestamps[index],
            spans=self.spans[index],
        )

    def keep(self, mask: NDArray[np.bool_]) -> Ratings:
        """Returns the ratings where `mask` is True, without a copy if all are."""
        return self if mask.all() else self.take(mask)


@dataclass(frozen=True)
class Movie:
    """One movie of the corpus.

    Attributes:
      title: As published, year included, outer spaces removed.
      genres: Empty if the edition lists none.
      year: From the title's end; None if the title has no year.
    """

    title: str
    genres: tuple[str, ...]
    year: int | None


@dataclass(frozen=True)
class User:
    """Attributes of one user (ML-100K, ML-1M).

    Attributes:
      age: Years; in ML-1M the lower bound of the age group.
      gender: "F" or "M".
      occupation: A name, even if the edition stores a code.
      zip_code: A string: it has leading zeros and letters.
    """

    age: int
    gender: str
    occupation: str
    zip_code: str


def sorted_unique(values: list[bytes]) -> tuple[Ids, Codes]:
    """Sorts distinct ids, and finds the index of each value among them.

    Returns:
      `[num_distinct]` object array of bytes, and `[len(values)]` int32 codes.
    """
    distinct = sorted(set(values))
    code_of = {value: code for code, value in enumerate(distinct)}
    codes = np.fromiter((code_of[v] for v in values), np.int32, len(values))
    return as_ids(distinct), codes


def as_ids(values: list[bytes]) -> Ids:
    """Makes an object array: NumPy's default is text padded to one length."""
    ids = np.empty(len(values), dtype=object)
    ids[:] = values
    return ids


def mix(
    a: NDArray[np.uint64], b: NDArray[np.uint64], seed: int = 0
) -> NDArray[np.uint64]:
    """Hashes pairs of hashes, with the finaliser of splitmix64.

    Source: https://prng.di.unimi.it/splitmix64.c

    Args:
      a: `[n]` hashes of the first ids, e.g. users.
      b: `[n]` hashes of the second ids, e.g. movies.
      seed: Another seed gives an independent hash.
    """
    with np.errstate(over="ignore"):
        x = a * _U64(0x9E3779B97F4A7C15) ^ b ^ _U64(seed * 0x632BE59BD9B4E019 % 2**64)
        x = (x ^ (x >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> _U64(27))) * _U64(0x94D049BB133111EB)
        return x ^ (x >> _U64(31))
