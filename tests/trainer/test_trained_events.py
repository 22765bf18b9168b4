"""A model recognizes the events that it was trained on."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tests.fixtures import small_model as small
from trainer import features as f
from trainer import trained_events
from trainer.trained_events import TrainedEvents


def contains(record: TrainedEvents, user: bytes, movies: list[bytes]) -> list[int]:
    found = record.contains(tf.constant([user]), tf.constant([movies], tf.string))
    return found.numpy()[0].tolist()


def test_events_of_training_are_known_and_no_others(monkeypatch):
    monkeypatch.setattr(trained_events, "_EVENTS_PER_CHUNK", 7)
    record = TrainedEvents.of(small.train_columns(), small.corpus())
    # User u1 walked from movie 1 to movie 8.
    assert contains(record, b"u1", [b"m1", b"m8", b"m9", b"m0", b""]) == [1, 1, 0, 0, 0]
    assert contains(record, b"nobody", [b"m1"]) == [0]
    assert contains(record, b"u1", []) == []


def test_context_counts_as_training():
    columns = small.train_columns()
    columns[f.NUM_CONTEXT] = columns[f.NUM_CONTEXT] + small.WINDOW_LENGTH
    record = TrainedEvents.of(columns, small.corpus())
    assert contains(record, b"u0", [b"m0"]) == [1]


def test_a_sample_of_many_events_is_kept(monkeypatch):
    monkeypatch.setattr(trained_events, "_MAX_KEPT", 10)
    record = TrainedEvents.of(small.train_columns(), small.corpus())
    movies = [f"m{i}".encode() for i in range(small.NUM_MOVIES)]
    users = [f"u{i}".encode() for i in range(small.NUM_USERS)]
    assert sum(sum(contains(record, user, movies)) for user in users) == 10


def test_a_model_that_was_trained_on_nothing_knows_nothing():
    record = TrainedEvents(np.empty(0, np.int64))
    assert contains(record, b"u0", [b"m0"]) == [0]
