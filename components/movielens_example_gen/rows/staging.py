"""Timelines and corpus as Arrow files, of which each Beam worker reads its shards."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.movielens_example_gen.rows import chunks
from components.movielens_example_gen.rows.chunks import Piece
from components.movielens_example_gen.tables import Movie, User
from components.movielens_example_gen.timelines import (
    KNOWN,
    SEEN,
    TRAIN,
    Events,
    Timelines,
)
from trainer.features import CORPUS_SPLIT

# A shard is about 10 MB of rows: small enough for a worker, large enough for a file.
EVENTS_PER_SHARD: Final = 500_000
MOVIES_PER_SHARD: Final = 100_000
# Events of these kinds count: a held-out one is in a single row.
SHARDED_KINDS: Final = (TRAIN, KNOWN, SEEN)

_USER_TYPE = pa.struct(
    [
        ("age", pa.int64()),
        ("gender", pa.string()),
        ("occupation", pa.string()),
        ("zip_code", pa.string()),
    ]
)


@dataclass(frozen=True)
class Staged:
    """Where the rows of each shard of the staged tables are."""

    timelines: tuple[tuple[Piece, ...], ...]
    corpus: tuple[tuple[Piece, ...], ...]

    def shards(self, split: str) -> tuple[tuple[Piece, ...], ...]:
        """Returns the shards of a split, as `chunks.read` takes them."""
        return self.corpus if split == CORPUS_SPLIT else self.timelines

    def num_shards(self, split: str) -> int:
        """Returns the number of shards of a split."""
        return len(self.shards(split))


def stage(
    timelines: Timelines,
    movies: Mapping[bytes, Movie],
    users: Mapping[bytes, User],
    folder: str,
) -> Staged:
    """Writes both tables into `folder`, which is made if it is absent."""
    corpus_ids = sorted(movies)
    index = {movie_id: row for row, movie_id in enumerate(corpus_ids)}
    rows = np.array([index[m] for m in timelines.movie_ids], np.int32)
    events = timelines.events
    trained = rows[events.movies[events.kinds == TRAIN]]
    num_ratings = np.bincount(trained, minlength=len(corpus_ids))
    corpus = stage_corpus(movies, num_ratings, folder)
    batch = timeline_batch(timelines, users, rows)
    bounds = shard_bounds(events.lengths(*SHARDED_KINDS))
    pieces = chunks.write(os.path.join(folder, "timelines"), slices(batch, bounds))
    return Staged(tuple((piece,) for piece in pieces), corpus)


def stage_corpus(
    movies: Mapping[bytes, Movie], num_ratings: NDArray[np.int64], folder: str
) -> tuple[tuple[Piece, ...], ...]:
    """Writes the table of movies, and returns its shards.

    Args:
      movies: Movie id to movie.
      num_ratings: `[num_movies]` training events, by the order of the sorted ids.
      folder: Where to write.
    """
    corpus = corpus_batch(sorted(movies), movies, num_ratings.tolist())
    bounds = [*range(0, corpus.num_rows, MOVIES_PER_SHARD), corpus.num_rows]
    pieces = chunks.write(os.path.join(folder, "corpus"), slices(corpus, bounds))
    return tuple((piece,) for piece in pieces)


def shard_bounds(lengths: NDArray[np.int64], events: int | None = None) -> list[int]:
    """Cuts users into shards of about equally many events.

    Args:
      lengths: `[num_users]` events of each user, of `SHARDED_KINDS`.
      events: Events of a shard; None for `EVENTS_PER_SHARD`.

    Returns:
      The first user of each shard, and the number of users. There is at least one
      shard: an empty split is a file without rows, which DataGate reports.
    """
    cuts = range(0, int(lengths.sum()), events or EVENTS_PER_SHARD)
    firsts = np.unique(np.searchsorted(np.cumsum(lengths) - lengths, cuts))
    return [0, *(int(f) for f in firsts if 0 < f < len(lengths)), len(lengths)]


def slices(batch: pa.RecordBatch, bounds: list[int]) -> Iterator[pa.RecordBatch]:
    """Yields the rows between each two bounds."""
    for start, end in pairwise(bounds):
        yield batch.slice(start, end - start)


def corpus_batch(
    corpus_ids: list[bytes], movies: Mapping[bytes, Movie], num_ratings: list[int]
) -> pa.RecordBatch:
    """Makes the table of movies.

    Args:
      corpus_ids: `[num_movies]` sorted ids.
      movies: Movie id to movie.
      num_ratings: `[num_movies]` training events.
    """
    listed = [movies[movie_id] for movie_id in corpus_ids]
    return pa.record_batch(
        [
            pa.array(corpus_ids, pa.binary()),
            pa.array([m.title for m in listed], pa.string()),
            pa.array([list(m.genres) for m in listed], pa.list_(pa.string())),
            pa.array([m.year for m in listed], pa.int64()),
            pa.array(num_ratings, pa.int64()),
        ],
        names=["movie_id", "title", "genres", "year", "num_ratings"],
    )


def timeline_batch(
    timelines: Timelines, users: Mapping[bytes, User], rows: Any
) -> pa.RecordBatch:
    """Makes the table of timelines.

    Args:
      timelines: A row for each user of these.
      users: User id to attributes; empty if the edition has none.
      rows: `[num_movies]` int32, corpus row of each of `timelines.movie_ids`.
    """
    attributes = [users[u].__dict__ if u in users else None for u in timelines.user_ids]
    return pa.record_batch(
        [
            pa.array(timelines.user_ids.tolist(), pa.binary()),
            pa.array(attributes, _USER_TYPE),
            _event_array(timelines.events, rows),
        ],
        names=["user_id", "attributes", "events"],
    )


def _event_array(events: Events, rows: Any) -> pa.Array:
    fields = pa.StructArray.from_arrays(
        [
            pa.array(rows[events.movies], pa.int32()),
            pa.array(events.ratings, pa.float32()),
            pa.array(events.timestamps, pa.int64()),
            pa.array(events.kinds, pa.int8()),
        ],
        names=["movie", "rating", "timestamp", "kind"],
    )
    return pa.LargeListArray.from_arrays(pa.array(events.starts), fields)
