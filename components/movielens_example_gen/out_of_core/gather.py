"""Collects the events of a partition and makes its timelines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from components.movielens_example_gen import timelines
from components.movielens_example_gen.out_of_core.facts import Facts
from components.movielens_example_gen.out_of_core.inputs import Inputs, Listed
from components.movielens_example_gen.rows import chunks, staging
from components.movielens_example_gen.rows.examples import count_windows
from components.movielens_example_gen.tables import (
    Ids,
    Ratings,
    as_ids,
    sorted_unique,
)
from components.movielens_example_gen.timelines import Timelines
from trainer.features import EVAL_SPLIT, KNOWN_SPLIT, TRAIN_SPLIT

# Duplicates are removed when so many events were collected: a user has at most one
# event for each movie, however many rows, so that no user is too large for a worker.
MAX_COLLECTED: Final = 4_000_000
# Shards are cut from chunks of whole users with about so many events.
EVENTS_PER_CHUNK: Final = 100_000


@dataclass(frozen=True)
class Partition:
    """The users with hashes in a range.

    Attributes:
      number: Its place in the order of the rows.
      ranges: Path of a run, and the positions between which its events are.
    """

    number: int
    ranges: tuple[tuple[str, int, int], ...]


def collect(partition: Partition, movie_ids: Ids) -> tuple[Ratings, int]:
    """Reads the events of a partition.

    Returns:
      The events, among which there may be duplicates, and how many were removed.
    """
    num_duplicates, num_rows, limit = 0, 0, MAX_COLLECTED
    collected: list[Ratings] = []
    for ratings in _read(partition, movie_ids):
        collected.append(ratings)
        num_rows += len(ratings)
        if num_rows > limit:
            kept, gone = timelines.drop_duplicates(_merged(collected, movie_ids))
            collected, num_rows = [kept], len(kept)
            num_duplicates += gone
            limit = max(limit, 2 * num_rows)
    return _merged(collected, movie_ids), num_duplicates


def _read(partition: Partition, movie_ids: Ids) -> Iterator[Ratings]:
    for path, start, end in partition.ranges:
        yield from (
            _as_ratings(batch, movie_ids)
            for batch in chunks.read_range(path, start, end)
        )


def _as_ratings(batch: pa.RecordBatch, movie_ids: Ids) -> Ratings:
    events = batch.column("events")
    lengths = np.diff(events.offsets.to_numpy())
    movies, stars, times, spans = (
        column.to_numpy() for column in events.flatten().flatten()
    )
    users = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    user_ids = as_ids(batch.column("user_id").to_pylist())
    return Ratings(users, movies, stars, times, spans, user_ids, movie_ids)


def _merged(parts: list[Ratings], movie_ids: Ids) -> Ratings:
    """Joins ratings whose ids of users are in any order, and may occur in several."""
    ids = [user_id for part in parts for user_id in part.user_ids]
    user_ids, codes = sorted_unique(ids)
    starts = np.cumsum([0, *(len(part.user_ids) for part in parts)])
    users = [codes[s + p.users] for s, p in zip(starts[:-1], parts, strict=True)]
    return Ratings(
        np.concatenate(users),
        np.concatenate([part.movies for part in parts]),
        np.concatenate([part.ratings for part in parts]),
        np.concatenate([part.timestamps for part in parts]),
        np.concatenate([part.spans for part in parts]),
        user_ids,
        movie_ids,
    )


@dataclass
class Gather:
    """The task of making the timelines of one partition.

    What it finds: `counts` of `timelines.build`, `rows` of each split and `users`; for
    each movie the `trained`, `held_out` and all `rated` events; for each user the
    `lengths` that shards are cut by; and for each chunk the `first_users` and
    `positions`, with their ends.
    """

    inputs: Inputs
    _listed: Listed | None = field(default=None)

    def load(self) -> None:
        """Reads what all partitions need."""
        self._listed = self.inputs.read_listed()

    def __call__(self, partition: Partition) -> None:
        """Makes the timelines and writes them."""
        assert self._listed is not None
        movie_ids, config = self._listed.movie_ids, self.inputs.config
        ratings, num_duplicates = collect(partition, movie_ids)
        lines = timelines.build(ratings, config, self.inputs.first_span)
        del ratings
        lines.counts["duplicate"] += num_duplicates
        rows = np.arange(len(movie_ids), dtype=np.int32)
        batch = staging.timeline_batch(lines, self._listed.users, rows)
        lengths = np.diff(lines.events.starts)
        bounds = staging.shard_bounds(lengths, EVENTS_PER_CHUNK)
        pieces = chunks.write(
            timelines_path(self.inputs, partition.number),
            staging.slices(batch, bounds),
        )
        facts = self._facts(lines, len(movie_ids))
        facts.arrays["first_users"] = np.array(bounds)
        facts.arrays["positions"] = np.array([0, *(piece.end for piece in pieces)])
        facts.write(self.inputs.facts("partition", partition.number))

    def _facts(self, lines: Timelines, num_movies: int) -> Facts:
        events, config = lines.events, self.inputs.config
        in_train = events.lengths(timelines.TRAIN)
        known = events.lengths(timelines.KNOWN, timelines.SEEN)
        held_out = events.lengths(timelines.HELD_OUT)
        rows = {
            TRAIN_SPLIT: count_windows(
                in_train, config.window_length, config.window_stride
            ),
            EVAL_SPLIT: int((held_out > 0).sum()),
            KNOWN_SPLIT: int((known > 0).sum()),
        }
        by_movie = {
            name: np.bincount(movies, minlength=num_movies)
            for name, movies in (
                ("trained", events.movies[events.kinds == timelines.TRAIN]),
                ("held_out", events.movies[events.kinds == timelines.HELD_OUT]),
                ("rated", events.movies),
            )
        }
        values = {"counts": lines.counts, "rows": rows, "users": len(lines.user_ids)}
        return Facts(values, {**by_movie, "lengths": in_train + known})


def timelines_path(inputs: Inputs, partition: int) -> str:
    """Returns the path of the timelines of a partition."""
    return inputs.path(f"timelines-{partition:05d}")


def with_cut(inputs: Inputs, cut: int) -> Inputs:
    """Returns the inputs with the first second of the eval period of all users."""
    config = dataclasses.replace(inputs.config, eval_start=cut)
    return dataclasses.replace(inputs, config=config)
