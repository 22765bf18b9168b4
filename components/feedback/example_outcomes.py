"""Outcomes from the `Examples` of a run, which ReportGen has, in place of the files.

They differ from those of the files in two ways. Of several ratings of a movie by a user
the examples have the newest, so that it counts as rated then. And of the events that
are neither trained on nor held out, the examples have times for the newest
`data.window_length` of each user; what is older only counts as seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tfx import types

from components.example_rows import arrow_batches, list_column
from components.feedback.outcomes import LONG_AGO, Outcomes
from trainer import features as f

# Split and features: movies, and their times if they have any.
_SOURCES: Final = (
    (f.TRAIN_SPLIT, f.MOVIE_IDS, f.TIMESTAMPS),
    (f.EVAL_SPLIT, f.HELD_OUT_MOVIE_IDS, f.HELD_OUT_TIMESTAMPS),
    (f.KNOWN_SPLIT, f.MOVIE_IDS, f.TIMESTAMPS),
    (f.KNOWN_SPLIT, f.SEEN_MOVIE_IDS, None),
)


def read_outcomes(examples: types.Artifact) -> Outcomes:
    """Reads what users have rated, and when.

    Args:
      examples: The `Examples` of MovieLensExampleGen.
    """
    tables = [
        table
        for split, movies, times in _SOURCES
        for table in _tables(examples, split, movies, times)
    ]
    if not tables:
        nobody = pa.array([], pa.string())
        none = np.zeros(0, np.int64)
        return Outcomes.of(
            none, none, none, none > 0, user_ids=nobody, movie_ids=nobody
        )
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    users, user_ids = _codes(table["user"])
    movies, movie_ids = _codes(table["movie"])
    times = table["time"].to_numpy()
    # The seen movies include those with a time.
    order = np.lexsort((times == LONG_AGO, movies, users))
    is_first = np.ones(len(order), bool)
    same_user = users[order][1:] == users[order][:-1]
    is_first[1:] = ~(same_user & (movies[order][1:] == movies[order][:-1]))
    is_kept = np.zeros(len(order), bool)
    is_kept[order[is_first]] = True
    is_kept |= times != LONG_AGO
    users, movies, times = users[is_kept], movies[is_kept], times[is_kept]
    return Outcomes.of(
        users,
        movies,
        times,
        times != LONG_AGO,
        user_ids=user_ids,
        movie_ids=movie_ids,
    )


def _tables(
    examples: types.Artifact, split: str, movies: str, times: str | None
) -> Iterator[pa.Table]:
    """Yields user, movie and time of the events of a split."""
    for batch in arrow_batches(examples, split):
        listed = list_column(batch, movies)
        users = list_column(batch, f.USER_ID)
        if listed is None or users is None or not len(listed.flatten()):
            continue
        # Each row has one user.
        user = users.flatten().take(pc.list_parent_indices(listed))
        column = None if times is None else list_column(batch, times)
        no_time = np.full(len(user), LONG_AGO)
        time = no_time if column is None else column.flatten().to_numpy()
        yield pa.table(
            {
                "user": _dictionary(user),
                "movie": _dictionary(listed.flatten()),
                "time": pa.array(time, pa.int64()),
            }
        )


def _dictionary(ids: pa.Array) -> pa.DictionaryArray:
    return ids.cast(pa.string()).dictionary_encode()


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], pa.Array]:
    chunks: Sequence[pa.DictionaryArray] = column.chunks
    codes = [chunk.indices.to_numpy() for chunk in chunks]
    return np.concatenate(codes).astype(np.int64), chunks[0].dictionary
