"""What users rated for the first time, and when: by this recommendations are judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.inputs import spans
from components.movielens_example_gen.inputs.editions import TIMESTAMP
from components.movielens_example_gen.readers import raw_data
from components.movielens_example_gen.readers.bad_rows import BadRows
from components.movielens_example_gen.tables import Ids, Ratings
from trainer.errors import UserError

# Time of what a user has seen at an unknown time, before everything else.
LONG_AGO: Final = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Outcomes:
    """The first rating of each movie by each user, sorted by user and time.

    Attributes:
      users: int32 `[outcomes]`, index into `user_ids`.
      movies: int32 `[outcomes]`, index into `movie_ids`.
      times: int64 `[outcomes]`, seconds since the epoch, UTC.
      starts: int64 `[num_users + 1]`: where each user's outcomes begin.
      user_ids: string `[num_users]`.
      movie_ids: string `[num_movies]`.
      first, last: Times of the oldest and the newest rating; None without ratings.
    """

    users: NDArray[np.int32]
    movies: NDArray[np.int32]
    times: NDArray[np.int64]
    starts: NDArray[np.int64]
    user_ids: pa.Array
    movie_ids: pa.Array
    first: int | None
    last: int | None

    def __len__(self) -> int:
        """Number of outcomes."""
        return len(self.users)

    @classmethod
    def of(
        cls,
        users: NDArray[Any],
        movies: NDArray[Any],
        times: NDArray[np.int64],
        counts: NDArray[np.bool_],
        *,
        user_ids: pa.Array,
        movie_ids: pa.Array,
    ) -> Outcomes:
        """Finds the first rating of each movie by each user.

        Args:
          users: `[ratings]` index into `user_ids`.
          movies: `[ratings]` index into `movie_ids`.
          times: `[ratings]` seconds since the epoch, UTC, or `LONG_AGO`.
          counts: `[ratings]` whether a first rating is an outcome; else it only makes
            the movie one that the user has seen.
          user_ids: string `[num_users]`, distinct.
          movie_ids: string `[num_movies]`, distinct.
        """
        order = np.lexsort((~counts, times, movies, users))
        is_first = np.ones(len(order), bool)
        same_user = users[order][1:] == users[order][:-1]
        is_first[1:] = ~(same_user & (movies[order][1:] == movies[order][:-1]))
        kept = order[is_first]
        kept = kept[counts[kept]]
        kept = kept[np.lexsort((movies[kept], times[kept], users[kept]))]
        lengths = np.bincount(users[kept], minlength=len(user_ids))
        known = times[times != LONG_AGO]
        return cls(
            users[kept].astype(np.int32),
            movies[kept].astype(np.int32),
            times[kept],
            np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
            user_ids,
            movie_ids,
            int(known.min()) if len(known) else None,
            int(known.max()) if len(known) else None,
        )

    @classmethod
    def of_ratings(cls, ratings: Ratings, min_rating: float) -> Outcomes:
        """Finds them in ratings as read, whatever the span.

        Args:
          ratings: All rows, also several of one movie by one user.
          min_rating: A movie whose first rating is lower only counts as seen.
        """
        return cls.of(
            ratings.users,
            ratings.movies,
            ratings.timestamps,
            ratings.ratings >= min_rating,
            user_ids=_texts(ratings.user_ids),
            movie_ids=_texts(ratings.movie_ids),
        )

    @classmethod
    def read(cls, base: Path, config: ExampleGenConfig) -> Outcomes:
        """Reads the files that `MovieLensExampleGen` would, older spans included.

        Args:
          base: Folder of an edition, or of spans.
          config: What to read.

        Raises:
          UserError: A file is missing or not valid, or ratings have no times.
        """
        if raw_data.csv_header(config)[TIMESTAMP] is None:
            raise UserError(
                "data.columns.timestamp is null: without times no rating comes after "
                "an impression",
                "Name the column of the ratings file that has the times.",
            )
        bad = BadRows(config.on_bad_row, config.max_quarantined_fraction)
        found = raw_data.read(spans.resolve(base, config), config, bad)
        return cls.of_ratings(found.ratings, config.min_rating)

    def of_users(self, users: NDArray[Any]) -> NDArray[np.int64]:
        """Returns the positions of the outcomes of some users, in their order.

        Args:
          users: Distinct indices into `user_ids`, ascending.
        """
        lengths = self.starts[users + 1] - self.starts[users]
        before = np.cumsum(lengths) - lengths
        first = np.repeat(self.starts[users] - before, lengths)
        return np.asarray(first + np.arange(len(first)), np.int64)

    def find_users(self, user_ids: pa.Array) -> NDArray[np.int64]:
        """Returns the index of each user id; -1 for one who has no rating."""
        return _index(user_ids, self.user_ids)

    def find_movies(self, movie_ids: pa.Array) -> NDArray[np.int64]:
        """Returns the index of each movie id; -1 for one that nobody has rated."""
        return _index(movie_ids, self.movie_ids)


def _texts(ids: Ids) -> pa.Array:
    return pa.array([i.decode() for i in ids], pa.string())


def _index(values: pa.Array, among: pa.Array) -> NDArray[np.int64]:
    found = pc.fill_null(pc.index_in(values, value_set=among), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False)).astype(np.int64)
