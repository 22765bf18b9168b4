"""What the served model knows of the users: their timelines and what they have seen.

Training must not see the held-out events, but the served model must: it would otherwise
recommend the very movies that a user rated last. It also knows what the configuration
keeps out of training. All of it is looked up when serving; nothing is learned from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer import features as f
from trainer.input_pipeline import Columns, Ragged

# Of the lists that are joined at once: few enough for little memory beside the result.
_ROWS_PER_CHUNK: Final = 1 << 14


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

    timelines = (
        _lists(known, known_users, f.MOVIE_INDICES, f.RATINGS, f.TIMESTAMPS),
        _train_lists(train, train_users),
        _lists(
            *(held_out, held_out_users, f.HELD_OUT_MOVIE_INDICES),
            *(f.HELD_OUT_RATINGS, f.HELD_OUT_TIMESTAMPS),
        ),
    )
    num_rows = len(user_ids) + 1
    events = _join(timelines, num_rows, (np.int32, np.float32, np.int64))
    _sort_by_time(*events)
    row_splits, (movies, ratings, timestamps) = _newest(*events, max_events)
    others = _lists(known, known_users, f.SEEN_MOVIE_INDICES)
    seen_splits, (seen,) = _join((others, *timelines[1:]), num_rows, (np.int32,))
    return UserStore(
        user_ids=user_ids,
        user_index=per_user(f.USER_INDEX, unknown_user),
        attribute_indices=per_user(f.USER_ATTRIBUTE_INDICES, 0),
        movies=Ragged(movies, row_splits),
        ratings=ratings,
        timestamps=timestamps,
        seen=Ragged(seen, seen_splits),
    )


class _Lists(NamedTuple):
    """Lists of events: that of row `i` is `column[starts[i] : starts[i] + lengths[i]]`.

    Attributes:
      users: `[rows]`, row of the store.
      starts: `[rows]`.
      lengths: `[rows]`.
      columns: Values of all rows.
    """

    users: NDArray[Any]
    starts: NDArray[Any]
    lengths: NDArray[Any]
    columns: list[NDArray[Any]]


def _lists(rows: Columns, users: NDArray[Any], *names: str) -> _Lists:
    lists = [rows[name] for name in names]
    splits = lists[0].splits
    return _Lists(users, splits[:-1], np.diff(splits), [each.values for each in lists])


def _train_lists(train: Columns, users: NDArray[Any]) -> _Lists:
    """Returns every training event once, those of a user in chronological order."""
    lists = _lists(train, users, f.MOVIE_INDICES, f.RATINGS, f.TIMESTAMPS)
    order = np.argsort(train[f.WINDOW_INDEX], kind="stable")
    # Those before are context, and targets of an earlier window.
    context = np.minimum(train[f.NUM_CONTEXT], lists.lengths)
    return _Lists(
        users[order],
        (lists.starts + context)[order],
        (lists.lengths - context)[order],
        lists.columns,
    )


def _join(
    parts: Sequence[_Lists], num_rows: int, types: Sequence[Any]
) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """Joins the lists of each user, in the order of the parts and of their rows.

    Rows are sorted, and not events, of which there are hundreds as many.

    Args:
      parts: With a column of values for each of the types, or more.
      num_rows: Rows of the store.
      types: Of the joined columns.

    Returns:
      Row splits `[num_rows + 1]`, and the columns.
    """
    users, lengths = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("users", "lengths")
    )
    by_user = np.argsort(users, kind="stable")
    ends = np.cumsum(lengths[by_user])
    starts = np.empty_like(ends)
    starts[by_user] = ends - lengths[by_user]
    joined = [np.empty(lengths.sum(), kind) for kind in types]
    row = 0
    for part in parts:
        for start in range(0, len(part.users), _ROWS_PER_CHUNK):
            chunk = slice(start, start + _ROWS_PER_CHUNK)
            length = part.lengths[chunk]
            source = _positions(part.starts[chunk], length)
            target = _positions(starts[row : row + len(length)], length)
            for column, values in zip(joined, part.columns, strict=False):
                column[target] = values[source]
            row += len(length)
    last = np.searchsorted(users[by_user], np.arange(num_rows), side="right")
    return np.append(0, np.append(0, ends)[last]), joined


def _positions(starts: NDArray[Any], lengths: NDArray[Any]) -> NDArray[np.int64]:
    """Returns the positions of the values of lists, one list after the other."""
    before = np.cumsum(lengths) - lengths
    positions: NDArray[np.int64] = np.arange(lengths.sum())
    positions += np.repeat(starts - before, lengths)
    return positions


def _sort_by_time(splits: NDArray[Any], columns: list[NDArray[Any]]) -> None:
    """Sorts the events of each user, in place; few users need it."""
    timestamps = columns[2]
    is_earlier = np.append(False, np.diff(timestamps) < 0)
    is_earlier[splits[splits < len(timestamps)]] = False  # the first of a user
    users = np.unique(
        np.searchsorted(splits, np.flatnonzero(is_earlier), side="right") - 1
    )
    lengths = np.diff(splits)[users]
    places = _positions(splits[users], lengths)
    order = np.lexsort((timestamps[places], np.repeat(users, lengths)))
    for column in columns:
        column[places] = column[places[order]]


def _newest(
    splits: NDArray[Any], columns: list[NDArray[Any]], limit: int
) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """Returns row splits and values of the last events of each list."""
    lengths = np.minimum(np.diff(splits), limit)
    places = _positions(splits[1:] - lengths, lengths)
    return np.append(0, np.cumsum(lengths)), [column[places] for column in columns]


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
