"""Blocks of ratings from many files joined to one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.movielens_example_gen.inputs.editions import (
    MOVIE,
    RATING,
    TIMESTAMP,
    USER,
)
from components.movielens_example_gen.readers.rating_files import RatingsBlock
from components.movielens_example_gen.tables import (
    Codes,
    Ids,
    Ratings,
    as_ids,
    sorted_unique,
)


@dataclass(frozen=True)
class Source:
    """A block, with the file and the span that it was read from."""

    path: Path
    span: int
    block: RatingsBlock


def join_blocks(sources: Sequence[Source]) -> Ratings:
    """Joins all blocks to one table, with ids as codes into sorted arrays.

    Since the ids are sorted, the codes do not depend on the order of rows and files.
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
        return np.zeros(0, np.int32), as_ids([])
    stripped = [str(v).strip().encode() for v in chunks[-1].dictionary.to_pylist()]
    sorted_ids, new_code = sorted_unique(stripped)
    old = np.concatenate([chunk.indices.to_numpy() for chunk in chunks])
    return new_code[old], sorted_ids


def compact(ratings: Ratings) -> Ratings:
    """Drops the ids that no rating uses."""
    users, user_ids = _used(ratings.users, ratings.user_ids)
    movies, movie_ids = _used(ratings.movies, ratings.movie_ids)
    return replace(
        ratings, users=users, user_ids=user_ids, movies=movies, movie_ids=movie_ids
    )


def _used(codes: Codes, all_ids: Ids) -> tuple[Codes, Ids]:
    used: NDArray[np.bool_] = np.zeros(len(all_ids), bool)
    used[codes] = True
    new_code = (np.cumsum(used) - 1).astype(np.int32)
    return new_code[codes], all_ids[used]
