"""The users' timelines in the served model.

Training must not see the held-out events, but the served model must: it would otherwise
recommend the very movies that a user rated last. The stored timelines therefore include
them. They are looked up when serving; nothing is learned from them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer import features as f
from trainer.input_pipeline import Columns, Ragged


class UserStore(NamedTuple):
    """All users of the data, and one more row for unknown users.

    Attributes:
      user_ids: bytes `[users]`, sorted.
      user_index: int32 `[users + 1]`, vocabulary index.
      attribute_indices: int32 `[users + 1, attributes]`.
      movies: int32 movie indices of each user, oldest first: `users + 1` rows, the last
        of them empty.
      ratings: float32 `[events]`, stars, of the events in `movies`.
      timestamps: int64 `[events]`, seconds since the epoch, UTC, of the same events.
    """

    user_ids: NDArray[Any]
    user_index: NDArray[Any]
    attribute_indices: NDArray[Any]
    movies: Ragged
    ratings: NDArray[Any]
    timestamps: NDArray[Any]


class EventLists(NamedTuple):
    """Timelines, oldest event first: ragged `[batch, None]` with the same row lengths.

    Attributes:
      movies: int32, vocabulary indices.
      ratings: float32, stars.
      timestamps: int64, seconds since the epoch, UTC.
    """

    movies: tf.RaggedTensor
    ratings: tf.RaggedTensor
    timestamps: tf.RaggedTensor


def build_user_store(train: Columns, held_out: Columns, unknown_user: int) -> UserStore:
    """Joins the windows of the train split and the held-out events by user.

    Args:
      train: Transformed train rows.
      held_out: Transformed eval rows.
      unknown_user: Vocabulary index of a user outside the vocabulary.

    Returns:
      The store. The events of a user are in order of time. Events of the same second
      keep the order of the timeline, held-out events last.
    """
    held_out_movies: Ragged = held_out[f.HELD_OUT_MOVIE_INDICES]
    held_out_events = (
        np.repeat(held_out[f.USER_ID], held_out_movies.lengths),
        held_out_movies.values,
        held_out[f.HELD_OUT_RATINGS].values,
        held_out[f.HELD_OUT_TIMESTAMPS].values,
    )
    users, movies, ratings, timestamps = (
        np.concatenate(columns)
        for columns in zip(_train_events(train), held_out_events, strict=True)
    )
    user_ids, user = np.unique(users, return_inverse=True)
    order = np.lexsort((timestamps, user))
    lengths = np.append(np.bincount(user, minlength=len(user_ids)), 0)

    row_ids = np.concatenate([train[f.USER_ID], held_out[f.USER_ID]])
    _, first_row = np.unique(row_ids, return_index=True)

    def per_user(name: str, unknown: int) -> NDArray[Any]:
        column = np.concatenate([train[name], held_out[name]])[first_row]
        last = np.full_like(column[:1], unknown)
        return np.concatenate([column, last]).astype(np.int32)

    return UserStore(
        user_ids=user_ids,
        user_index=per_user(f.USER_INDEX, unknown_user),
        attribute_indices=per_user(f.USER_ATTRIBUTE_INDICES, 0),
        movies=Ragged(
            movies[order].astype(np.int32),
            np.concatenate([[0], np.cumsum(lengths)]),
        ),
        ratings=ratings[order].astype(np.float32),
        timestamps=timestamps[order],
    )


def _train_events(train: Columns) -> tuple[NDArray[Any], ...]:
    """Returns every training event once, those of a user in chronological order.

    Returns:
      User ids, movie indices, ratings and timestamps, `[events]` each.
    """
    movies: Ragged = train[f.MOVIE_INDICES]
    row = np.repeat(np.arange(len(movies.lengths)), movies.lengths)
    position = np.arange(len(row)) - movies.splits[row]
    kept = np.flatnonzero(position >= train[f.NUM_CONTEXT][row])
    kept = kept[np.argsort(train[f.WINDOW_INDEX][row[kept]], kind="stable")]
    return (
        train[f.USER_ID][row[kept]],
        movies.values[kept],
        train[f.RATINGS].values[kept],
        train[f.TIMESTAMPS].values[kept],
    )


class TimelineLookup(tf.Module):
    """The user store as part of the served model.

    Args:
      store: The users and their timelines.
    """

    def __init__(self, store: UserStore) -> None:
        super().__init__(name="timelines")
        self.num_users = len(store.user_ids)
        self._row = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(store.user_ids), tf.range(self.num_users, dtype=tf.int64)
            ),
            default_value=self.num_users,
        )
        # Variables, because constants of a graph are limited to 2 GiB.
        self.user_index = tf.Variable(store.user_index, trainable=False)
        self.attribute_indices = tf.Variable(store.attribute_indices, trainable=False)
        self._events = [
            tf.Variable(column, trainable=False)
            for column in (store.movies.values, store.ratings, store.timestamps)
        ]
        self._splits = tf.Variable(store.movies.splits, trainable=False)

    def row(self, user_id: tf.Tensor) -> tf.Tensor:
        """Returns the row of each user, `num_users` if unknown: int64 `[batch]`."""
        return self._row.lookup(user_id)

    def timelines(self, row: tf.Tensor) -> EventLists:
        """Returns the stored events of rows."""
        columns = (
            tf.RaggedTensor.from_row_splits(events, self._splits, validate=False)
            for events in self._events
        )
        return EventLists(*(tf.gather(column, row) for column in columns))
