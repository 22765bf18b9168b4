"""Blocks of ratings from many files joined to one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.movielens_example_gen import ids
from components.movielens_example_gen.editions import MOVIE, RATING, TIMESTAMP, USER
from components.movielens_example_gen.rating_blocks import RatingsBlock
from components.movielens_example_gen.tables import Codes, Ids, Ratings


@dataclass(frozen=True)
class Source:
    """Where the rows of one block came from."""

    path: Path
    span: int
    block: RatingsBlock


def join_blocks(sources: Sequence[Source]) -> Ratings:
    """One table from all blocks, with ids as codes into sorted arrays.

    Sorting makes the codes independent of the order of rows, files and blocks.
    """
    tables = [source.block.table for source in sources]
    table = pa.concat_tables(tables).unify_dictionaries()
    users, user_ids = _codes(table[USER])
    movies, movie_ids = _codes(table[MOVIE])
    lengths = [t.num_rows for t in tables]
    spans = np.repeat(np.array([s.span for s in sources], np.int32), lengths)
    return Ratings(
        users,
        movies,
        table[RATING].to_numpy(),
        table[TIMESTAMP].to_numpy(),
        spans,
        user_ids,
        movie_ids,
    )


def _codes(column: pa.ChunkedArray) -> tuple[Codes, Ids]:
    chunks = [c for c in column.chunks if len(c)]
    if not chunks:
        return np.zeros(0, np.int32), ids.as_ids([])
    stripped = [str(v).strip().encode() for v in chunks[-1].dictionary.to_pylist()]
    sorted_ids, new_code = ids.sorted_unique(stripped)
    old = np.concatenate([chunk.indices.to_numpy() for chunk in chunks])
    return new_code[old], sorted_ids


def compact(ratings: Ratings) -> Ratings:
    """Drops ids that no rating uses any more."""
    users, user_ids = _used(ratings.users, ratings.user_ids)
    movies, movie_ids = _used(ratings.movies, ratings.movie_ids)
    return Ratings(
        users,
        movies,
        ratings.ratings,
        ratings.timestamps,
        ratings.spans,
        user_ids,
        movie_ids,
    )


def _used(codes: Codes, all_ids: Ids) -> tuple[Codes, Ids]:
    used: NDArray[np.bool_] = np.zeros(len(all_ids), bool)
    used[codes] = True
    new_code = (np.cumsum(used) - 1).astype(np.int32)
    return new_code[codes], all_ids[used]
