"""What is served of users: timelines in order, held-out events last, all seen."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures.small_model import ragged
from trainer import features as f
from trainer.input_pipeline import Columns, Ragged
from trainer.user_store import TimelineLookup, UserStore, build_user_store


def train_rows() -> Columns:
    """User `b` in two overlapping windows that arrive in the wrong order, and `a`."""
    return {
        f.USER_ID: np.array([b"b", b"a", b"b"]),
        f.USER_INDEX: np.array([0, 1, 0]),
        f.USER_ATTRIBUTE_INDICES: np.array([[2, 1, 3], [4, 2, 0], [2, 1, 3]]),
        f.MOVIE_INDICES: ragged([[2, 3, 4], [9], [1, 2, 3]]),
        f.RATINGS: ragged([[2.0, 3.0, 4.0], [0.5], [1.0, 2.0, 3.0]], np.float32),
        f.TIMESTAMPS: ragged([[7, 7, 7], [5], [7, 7, 7]]),
        f.NUM_CONTEXT: np.array([2, 0, 0]),
        f.WINDOW_INDEX: np.array([1, 0, 0]),
    }


def held_out_rows() -> Columns:
    """What `b` watched last, and a user whom training never saw."""
    return {
        f.USER_ID: np.array([b"cold", b"b"]),
        f.USER_INDEX: np.array([2, 0]),
        f.USER_ATTRIBUTE_INDICES: np.array([[1, 1, 1], [2, 1, 3]]),
        f.HELD_OUT_MOVIE_INDICES: ragged([[6], [5]]),
        f.HELD_OUT_RATINGS: ragged([[4.5], [5.0]], np.float32),
        f.HELD_OUT_TIMESTAMPS: ragged([[1], [7]]),
    }


def known_rows(*users: bytes) -> Columns:
    """What `users` watched at the times 3 and 9, and disliked."""
    return {
        f.USER_ID: np.array(users, object),
        f.USER_INDEX: np.array([0 if user == b"b" else 2 for user in users]),
        f.USER_ATTRIBUTE_INDICES: np.array([[2, 1, 3] for _ in users]).reshape(-1, 3),
        f.MOVIE_INDICES: ragged([[7, 8] for _ in users]),
        f.RATINGS: ragged([[3.5, 3.5] for _ in users], np.float32),
        f.TIMESTAMPS: ragged([[3, 9] for _ in users]),
        f.SEEN_MOVIE_INDICES: ragged([[7, 0, 8] for _ in users]),
    }


def store_of(known: Columns | None = None, max_events: int = 100) -> UserStore:
    return build_user_store(
        train_rows(),
        held_out_rows(),
        known_rows() if known is None else known,
        unknown_user=2,
        max_events=max_events,
    )


def lists(column: Ragged) -> list[list[int]]:
    return [row.tolist() for row in np.split(column.values, column.splits[1:-1])]


@pytest.mark.parametrize("rows_per_chunk", [1, 100])
def test_what_is_known_besides_joins_timelines_and_seen(
    monkeypatch: pytest.MonkeyPatch, rows_per_chunk: int
) -> None:
    monkeypatch.setattr("trainer.user_store._ROWS_PER_CHUNK", rows_per_chunk)
    store = store_of(known_rows(b"b", b"few"))
    assert store.user_ids.tolist() == [b"a", b"b", b"cold", b"few"]
    assert lists(store.movies) == [[9], [7, 1, 2, 3, 4, 5, 8], [6], [7, 8], []]
    assert list(map(sorted, lists(store.seen))) == [
        [9],
        [0, 1, 2, 3, 4, 5, 7, 8],  # 0 is disliked: seen, but not in the timeline
        [6],
        [0, 7, 8],
        [],
    ]
    assert store.user_index.tolist() == [1, 0, 2, 2, 2]


def test_timelines_end_with_the_newest_events_and_seen_is_complete() -> None:
    store = store_of(known_rows(b"b"), max_events=2)
    assert lists(store.movies) == [[9], [5, 8], [6], []]
    assert store.ratings.tolist() == [0.5, 5, 3.5, 4.5]
    assert store.timestamps.tolist() == [5, 7, 9, 1]
    assert sorted(lists(store.seen)[1]) == [0, 1, 2, 3, 4, 5, 7, 8]


def test_each_event_is_stored_once_and_in_order() -> None:
    store = store_of()
    assert store.user_ids.tolist() == [b"a", b"b", b"cold"]
    rows = np.split(store.movies.values, store.movies.splits[1:-1])
    assert [row.tolist() for row in rows] == [[9], [1, 2, 3, 4, 5], [6], []]
    assert store.ratings.tolist() == [0.5, 1, 2, 3, 4, 5, 4.5]
    assert store.timestamps.tolist() == [5, 7, 7, 7, 7, 7, 1]
    assert store.user_index.tolist() == [1, 0, 2, 2]
    assert store.attribute_indices.tolist()[0] == [4, 2, 0]
    assert store.attribute_indices.tolist()[-1] == [0, 0, 0]


def test_unknown_users_share_one_empty_timeline() -> None:
    lookup = TimelineLookup(store_of())
    rows = lookup.row(tf.constant(["b", "nobody", ""]))
    assert rows.numpy().tolist() == [1, 3, 3]
    timelines = lookup.timelines(rows)
    assert timelines.movies.to_list() == [[1, 2, 3, 4, 5], [], []]
    assert timelines.ratings.to_list() == [[1, 2, 3, 4, 5], [], []]
    assert timelines.timestamps.to_list() == [[7] * 5, [], []]
    assert lookup.seen(rows).to_list() == [[1, 2, 3, 4, 5], [], []]


def test_attributes_that_no_user_has_are_unknown() -> None:
    store = store_of()
    attributes = np.array([[4, 2, 0], [1, 0, 3], [0, 0, 0], [9, 9, 9]], np.int32)
    lookup = TimelineLookup(store._replace(attribute_indices=attributes))
    asked = tf.constant([[4, 2, 3], [3, 1, 2], [99, 9, 4], [0, 0, 0]])
    known = lookup.known_attributes(asked).numpy().tolist()
    assert known == [[4, 2, 3], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    nobody = store._replace(attribute_indices=attributes[-1:])
    assert not TimelineLookup(nobody).known_attributes(asked).numpy().any()
