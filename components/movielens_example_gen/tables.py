"""The columns that every edition is read into, whatever its file format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int32]
Ids = NDArray[np.object_]


@dataclass(frozen=True)
class Ratings:
    """Ratings as columns. Ids are codes into sorted arrays of UTF-8 byte strings.

    Attributes:
      users: `[num_ratings]` int32, index into `user_ids`.
      movies: `[num_ratings]` int32, index into `movie_ids`.
      ratings: `[num_ratings]` float32, stars.
      timestamps: `[num_ratings]` int64, seconds since the epoch, UTC.
      spans: `[num_ratings]` int32, the span that brought the row (0 without spans).
      user_ids: `[num_users]` bytes, sorted: the code says nothing about file order.
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
        """The ratings at `index` (positions or a mask), with the same id arrays."""
        return Ratings(
            self.users[index],
            self.movies[index],
            self.ratings[index],
            self.timestamps[index],
            self.spans[index],
            self.user_ids,
            self.movie_ids,
        )

    def keep(self, mask: NDArray[np.bool_]) -> Ratings:
        """The ratings where `mask` is True; no copy where that is all of them."""
        return self if mask.all() else self.take(mask)


@dataclass(frozen=True)
class Movie:
    """One movie of the corpus.

    Attributes:
      title: As published, year included, outer spaces removed.
      genres: Empty where the edition lists none.
      year: From the title's end, `None` where it tells none.
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
      occupation: A name, also where the edition stores a code.
      zip_code: A string: it has leading zeros and letters.
    """

    age: int
    gender: str
    occupation: str
    zip_code: str


@dataclass(frozen=True)
class RawData:
    """Everything that was read from an edition or from a window of its spans.

    Attributes:
      ratings: All good rating rows, duplicates included.
      movies: Movie id to movie.
      users: User id to attributes, empty where the edition has none.
      num_read: Rating rows read, bad rows included.
      num_quarantined: Rating rows that were refused and set aside.
      odd_rows: Kind of oddity to the number of rows with it, which were kept.
    """

    ratings: Ratings
    movies: dict[bytes, Movie]
    users: dict[bytes, User]
    num_read: int
    num_quarantined: int
    odd_rows: dict[str, int]
