"""Timelines and corpus as Arrow files, of which each Beam worker reads its shards.

One record batch is one shard. A worker reads only its own batch, from a local disk
through a memory map or from any file system that Beam supports.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from components.movielens_example_gen.tables import Movie, User
from components.movielens_example_gen.timelines import (
    KNOWN,
    SEEN,
    TRAIN,
    Events,
    Timelines,
)
from trainer.arrow_files import refuse_code
from trainer.features import CORPUS_SPLIT

# A shard is about 10 MB of rows: small enough for a worker, large enough for a file.
EVENTS_PER_SHARD: Final = 500_000
MOVIES_PER_SHARD: Final = 100_000

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
    """The Arrow files of the staged tables, and how many shards each has."""

    timelines_path: str
    timeline_shards: int
    corpus_path: str
    corpus_shards: int

    def num_shards(self, split: str) -> int:
        """Returns the number of shards of a split."""
        return self.corpus_shards if split == CORPUS_SPLIT else self.timeline_shards


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
    corpus = corpus_batch(corpus_ids, movies, num_ratings.tolist())
    corpus_path = os.path.join(folder, "corpus.arrow")
    first_movies = range(0, len(corpus_ids), MOVIES_PER_SHARD)
    corpus_shards = _write(corpus, first_movies, corpus_path)
    batch = timeline_batch(timelines, users, rows)
    timelines_path = os.path.join(folder, "timelines.arrow")
    # The first user of each shard, for shards of about equally many events.
    lengths = events.lengths(TRAIN, KNOWN, SEEN)
    cuts = range(0, int(lengths.sum()), EVENTS_PER_SHARD)
    first_users = np.unique(np.searchsorted(np.cumsum(lengths) - lengths, cuts))
    timeline_shards = _write(batch, first_users, timelines_path)
    return Staged(timelines_path, timeline_shards, corpus_path, corpus_shards)


def _write(batch: pa.RecordBatch, starts: Any, path: str) -> int:
    # Imported here: it takes seconds, and `two-tower data` does not stage.
    from apache_beam.io.filesystems import FileSystems

    # At least one: an empty split is a file without rows, which DataGate reports.
    bounds = [0, *(int(s) for s in starts if 0 < s < batch.num_rows), batch.num_rows]
    with (
        FileSystems.create(path) as sink,
        pa.ipc.new_file(sink, batch.schema) as out,
    ):
        for start, end in zip(bounds[:-1], bounds[1:], strict=True):
            out.write_batch(batch.slice(start, end - start))
    return len(bounds) - 1


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


def read_shard(path: str, index: int) -> pa.RecordBatch:
    """Reads one shard.

    Args:
      path: An Arrow file, on a local disk or on a file system that Beam supports.
      index: The shard's number, from 0.
    """
    refuse_code()
    if os.path.exists(path):
        with pa.memory_map(path) as source:
            return pa.ipc.open_file(source).get_batch(index)
    from apache_beam.io.filesystems import FileSystems

    with FileSystems.open(path) as stream:
        return pa.ipc.open_file(pa.BufferReader(stream.read())).get_batch(index)
