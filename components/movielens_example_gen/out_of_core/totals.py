"""What all partitions found, summed, and the rows of each shard."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.movielens_example_gen.out_of_core import facts
from components.movielens_example_gen.out_of_core.gather import timelines_path
from components.movielens_example_gen.out_of_core.inputs import Inputs
from components.movielens_example_gen.rows import staging
from components.movielens_example_gen.rows.chunks import Piece

Array = NDArray[np.int64]


@dataclass(frozen=True)
class Totals:
    """What all partitions found.

    Attributes:
      counts: See `timelines.build`.
      rows: Rows of each split but the corpus.
      num_users: Users with ratings.
      trained: `[num_movies]` training events.
      num_rated: Movies with ratings.
      shards: Where the rows of each shard are.
    """

    counts: Counter[str]
    rows: Counter[str]
    num_users: int
    trained: Array
    num_rated: int
    shards: tuple[tuple[Piece, ...], ...]


def combine(inputs: Inputs, num_partitions: int, num_movies: int) -> Totals:
    """Sums what the partitions found."""
    counts, rows = Counter[str](), Counter[str]()
    by_movie = {
        name: np.zeros(num_movies, np.int64)
        for name in ("trained", "held_out", "rated")
    }
    lengths: list[Array] = []
    pieces: list[Piece] = []
    num_users = 0
    for number in range(num_partitions):
        found = facts.read(inputs.facts("partition", number))
        counts.update(found.values["counts"])
        rows.update(found.values["rows"])
        for name in by_movie:
            by_movie[name] += found.arrays[name]
        path = timelines_path(inputs, number)
        pieces += _pieces(path, found.arrays, num_users)
        lengths.append(found.arrays["lengths"])
        num_users += found.values["users"]
    # A movie is cold if no partition trains on it.
    trained = by_movie["trained"]
    counts["cold_movie_holdouts"] = int(by_movie["held_out"][trained == 0].sum())
    bounds = staging.shard_bounds(np.concatenate([np.zeros(0, np.int64), *lengths]))
    num_rated = int((by_movie["rated"] > 0).sum())
    shards = _shards(pieces, bounds)
    return Totals(counts, rows, num_users, trained, num_rated, shards)


def _pieces(path: str, arrays: dict[str, Array], first_user: int) -> list[Piece]:
    """Returns the chunks of a partition, with rows counted over all partitions."""
    users, positions = arrays["first_users"] + first_user, arrays["positions"]
    columns = (positions[:-1], positions[1:], users[:-1], users[1:])
    return [Piece(path, *map(int, row)) for row in zip(*columns, strict=True)]


def _shards(chunks: list[Piece], bounds: list[int]) -> tuple[tuple[Piece, ...], ...]:
    """Cuts chunks into shards.

    Args:
      chunks: Their rows are counted over all of them.
      bounds: The first row of each shard, and the number of rows.
    """
    shards: list[tuple[Piece, ...]] = []
    at = 0
    for first, end in zip(bounds[:-1], bounds[1:], strict=True):
        pieces = []
        while at < len(chunks) and chunks[at].first_row < end:
            chunk = chunks[at]
            rows = (max(first, chunk.first_row), min(end, chunk.end_row))
            place = (row - chunk.first_row for row in rows)
            pieces.append(Piece(chunk.path, chunk.start, chunk.end, *place))
            if chunk.end_row > end:
                break
            at += 1
        shards.append(tuple(pieces))
    return tuple(shards)
