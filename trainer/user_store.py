"""What the served model knows of the users: their timelines and what they have seen.

Training must not see the held-out events, but the served model must: it would otherwise
recommend the very movies that a user rated last. It also knows what the configuration
keeps out of training. All of it is looked up when serving; nothing is learned from it.
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
      movies: int32 movie indices of each user's newest events, oldest first:
        `users + 1` rows, the last of them empty.
      ratings: float32 `[events]`, stars, of the events in `movies`.
      timestamps: int64 `[events]`, seconds since the epoch, UTC, of the same events.
      seen: int32 indices of all movies that each user rated, `users + 1` rows.
    """

    user_ids: NDArray[Any]
    user_index: NDArray[Any]
    attribute_indices: NDArray[Any]
    movies: Ragged
    ratings: NDArray[Any]
    timestamps: NDArray[Any]
    seen: Ragged


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


def build_user_store(
    train: Columns,
    held_out: Columns,
    known: Columns,
    *,
    unknown_user: int,
    max_events: int,
) -> UserStore:
    """Joins by user all that is known, whichever split it is in.

    Args:
      train: Transformed train rows.
      held_out: Transformed eval rows.
      known: Transformed known rows.
      unknown_user: Vocabulary index of a user outside the vocabulary.
      max_events: Events of a timeline that are kept, the newest ones.

    Returns:
      The store. The events of a user are in order of time. Events of the same second
      keep the order of the timeline, held-out events last.
    """
    splits = (known, train, held_out)
    row_ids = np.concatenate([split[f.USER_ID] for split in splits])
    # By row: to look the string of each event up takes as long as all else here.
    user_ids, first_row, row_users = np.unique(
        row_ids, return_index=True, return_inverse=True
    )
    ends = np.cumsum([len(split[f.USER_ID]) for split in splits])
    known_users, train_users, held_out_users = np.split(row_users, ends[:-1])

    def per_user(name: str, unknown: int) -> NDArray[Any]:
        column = np.concatenate([split[name] for split in splits])[first_row]
        return np.append(column, np.full_like(column[:1], unknown), axis=0).astype(
            np.int32
        )

    parts = (
        _events(known, known_users, f.MOVIE_INDICES, f.RATINGS, f.TIMESTAMPS),
        _train_events(train, train_users),
        _events(
            *(held_out, held_out_users, f.HELD_OUT_MOVIE_INDICES),
            *(f.HELD_OUT_RATINGS, f.HELD_OUT_TIMESTAMPS),
        ),
    )
    users, movies, ratings, timestamps = map(np.concatenate, zip(*parts, strict=True))
    order = np.lexsort((timestamps, users))
    timelines, newest = _by_user(users[order], len(user_ids), max_events)
    others = known[f.SEEN_MOVIE_INDICES]
    other_users = np.repeat(known_users, others.lengths)
    in_splits = len(known[f.MOVIE_INDICES].values)
    seen_users = np.concatenate([other_users, users[in_splits:]])
    seen_movies = np.concatenate([others.values, movies[in_splits:]])
    seen_order = np.argsort(seen_users, kind="stable")
    seen, _ = _by_user(seen_users[seen_order], len(user_ids))
    return UserStore(
        user_ids=user_ids,
        user_index=per_user(f.USER_INDEX, unknown_user),
        attribute_indices=per_user(f.USER_ATTRIBUTE_INDICES, 0),
        movies=Ragged(movies[order][newest].astype(np.int32), timelines),
        ratings=ratings[order][newest].astype(np.float32),
        timestamps=timestamps[order][newest],
        seen=Ragged(seen_movies[seen_order].astype(np.int32), seen),
    )


def _by_user(
    users: NDArray[Any], num_users: int, limit: int | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns the row splits of sorted users, and which rows are within the limit.

    Args:
      users: `[rows]` int64, ascending.
      num_users: Users; one more, without rows, is for the unknown user.
      limit: Rows of a user that are kept, the last ones; None for all.

    Returns:
      `[num_users + 2]` splits of the kept rows, and `[rows]` True for those.
    """
    lengths = np.bincount(users, minlength=num_users + 1)
    from_the_end = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(users))
    kept = np.ones(len(users), bool) if limit is None else from_the_end <= limit
    lengths = np.bincount(users[kept], minlength=num_users + 1)
    return np.concatenate([[0], np.cumsum(lengths)]), kept


def _events(
    rows: Columns, users: NDArray[Any], *names: str
) -> tuple[NDArray[Any], ...]:
    """Returns users and the values of lists, a column each: `[events]`."""
    lists = [rows[name] for name in names]
    return np.repeat(users, lists[0].lengths), *(c.values for c in lists)


def _train_events(train: Columns, users: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Returns every training event once, those of a user in chronological order.

    Args:
      train: Transformed train rows.
      users: `[rows]`, the user of each.

    Returns:
      Users, movie indices, ratings and timestamps, `[events]` each.
    """
    movies: Ragged = train[f.MOVIE_INDICES]
    order = np.argsort(train[f.WINDOW_INDEX], kind="stable")
    # Those before are context, and targets of an earlier window.
    first = movies.splits[:-1] + np.minimum(train[f.NUM_CONTEXT], movies.lengths)
    lengths = (movies.splits[1:] - first)[order]
    offsets = first[order] - (np.cumsum(lengths) - lengths)
    kept = np.repeat(offsets, lengths) + np.arange(lengths.sum())
    return (
        np.repeat(users[order], lengths),
        movies.values[kept],
        train[f.RATINGS].values[kept],
        train[f.TIMESTAMPS].values[kept],
    )


def _attribute_values(attributes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Returns which values of each attribute a user has: `[attributes, values]`.

    There is one value more, which no user has.
    """
    of_users = attributes[:-1]
    found = np.zeros((attributes.shape[1], of_users.max(initial=0) + 2), bool)
    found[np.arange(attributes.shape[1]), of_users] = True
    return found


class TimelineLookup(tf.Module):
    """The user store as part of the served model.

    Args:
      store: The users and their timelines.

    Attributes:
      num_users: Users with a stored timeline.
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
        self._is_attribute = tf.constant(_attribute_values(store.attribute_indices))
        self._events = [
            tf.Variable(column, trainable=False)
            for column in (store.movies.values, store.ratings, store.timestamps)
        ]
        self._splits = tf.Variable(store.movies.splits, trainable=False)
        self._seen = tf.Variable(store.seen.values, trainable=False)
        self._seen_splits = tf.Variable(store.seen.splits, trainable=False)

    def user_ids(self) -> tf.Tensor:
        """Returns the ids of all users, sorted: string `[users]`."""
        ids, rows = self._row.export()
        return tf.gather(ids, tf.argsort(rows))

    def row(self, user_id: tf.Tensor) -> tf.Tensor:
        """Returns the row of each user, `num_users` if unknown: int64 `[batch]`."""
        return self._row.lookup(user_id)

    def known_attributes(self, indices: tf.Tensor) -> tf.Tensor:
        """Returns attributes, 0 for those that no user of the data has.

        Nothing was learned of them, while in data without an attribute every user has
        helped to learn what 0 means.

        Args:
          indices: int32 `[batch, attributes]`, 0 where unknown.
        """
        attributes, values = self._is_attribute.shape
        value = tf.minimum(indices, values - 1)  # of the last one there is no user
        place = value + values * tf.range(attributes)
        is_known = tf.gather(tf.reshape(self._is_attribute, [-1]), place)
        return tf.where(is_known, indices, 0)

    def timelines(self, row: tf.Tensor) -> EventLists:
        """Returns the stored events of rows."""
        columns = (
            tf.RaggedTensor.from_row_splits(events, self._splits, validate=False)
            for events in self._events
        )
        return EventLists(*(tf.gather(column, row) for column in columns))

    def seen(self, row: tf.Tensor) -> tf.RaggedTensor:
        """Returns all movies that users rated, in no order: int32 `[batch, None]`."""
        column = tf.RaggedTensor.from_row_splits(
            self._seen, self._seen_splits, validate=False
        )
        return tf.gather(column, row)
