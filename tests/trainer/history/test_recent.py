"""Pools by time and the last events: the formulas, gradients, extreme times."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from trainer.history.recent import LastEvents, TimePools

SCALES = (30.0, 3600.0)
DAY = 86_400


def every_position(rows: int, length: int) -> np.ndarray:
    return np.indices((rows, length + 1)).reshape(2, -1).T.astype("int32")


@pytest.mark.parametrize("length", [1, 26, 60])
def test_time_pools_equal_the_formula_of_the_docstring(length: int) -> None:
    """Of one block of positions, and of several."""
    random = np.random.default_rng(1)
    events = random.normal(size=(2, length, 4)).astype("float32")
    gaps = random.choice([0, 1, 40, 5000, 9 * DAY], size=(2, length))
    times = 10**9 + np.cumsum(gaps, axis=1)
    layer = TimePools(SCALES, length, 4)
    positions = every_position(2, length)
    codes = layer(tf.constant(events), positions, tf.constant(times))
    for code, (row, position) in zip(codes.numpy(), positions, strict=True):
        if not position:
            np.testing.assert_allclose(code, 0, atol=1e-6)
            continue
        since = times[row, position - 1] - times[row, :position]
        age = np.arange(position)[::-1]
        for pool, scale in enumerate(SCALES):
            weights = np.exp(-(((since + 1) / scale) ** 2) - 0.003 * age)
            expected = weights @ events[row, :position] / np.sqrt((weights**2).sum())
            np.testing.assert_allclose(code[pool], expected, atol=1e-4)


def test_a_first_event_at_the_epoch_leaves_the_times_of_the_others() -> None:
    """Half a century before them: only the oldest event has no weight."""
    events = np.random.default_rng(1).normal(size=(2, 4, 4)).astype("float32")
    events[1] = events[0]
    recent = 1_700_000_000 + np.array([0, 50, 100])
    times = np.array([[0, *recent], [recent[0] - 40 * 365 * DAY, *recent]])
    layer = TimePools(SCALES, 4, 4)
    positions = np.array([[0, 4], [1, 4]], "int32")
    codes = layer(tf.constant(events), positions, tf.constant(times)).numpy()
    since = np.array([100, 50, 0])
    weights = np.exp(-(((since + 1) / SCALES[0]) ** 2) - 0.003 * np.array([2, 1, 0]))
    expected = weights @ events[0, 1:] / np.sqrt((weights**2).sum())
    np.testing.assert_allclose(codes[:, 0], [expected, expected], atol=1e-4)


def test_gradients_are_finite_whatever_the_times() -> None:
    """Same second, a lifetime between events, not in order, and padding."""
    times = [[5, 5, 5, 5], [0, 2**40, 2**41, -1], [10**9, 3, 10**9, -1], [-1] * 4]
    times.append([0, 90, 180, 9000])
    events = np.random.default_rng(1).normal(size=(5, 4, 4)).astype("float32")
    layer = TimePools(SCALES, 4, 4)
    read = tf.Variable(events)
    with tf.GradientTape() as tape:
        codes = layer(read, every_position(5, 4), tf.constant(times, tf.int64))
        loss = tf.reduce_sum(tf.square(codes))
    gradient = tape.gradient(loss, read)
    assert np.isfinite(codes).all()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[:, 0]).min() > 0


def test_last_events_start_at_zero_and_read_the_order() -> None:
    layer = LastEvents(2, 5, 4)
    events = np.random.default_rng(1).normal(size=(1, 5, 4)).astype("float32")
    positions = tf.constant([[0, 1], [0, 4]])
    assert not np.any(layer(tf.constant(events), positions))
    matrices = np.random.default_rng(2).normal(size=(2, 4, 4)).astype("float32")
    layer.trainable_variables[0].assign(matrices.reshape(8, 4))
    first, fourth = layer(tf.constant(events), positions)[:, 0]
    older, newer = matrices
    np.testing.assert_allclose(first, events[0, 0] @ newer, atol=1e-5)
    expected = events[0, 2] @ older + events[0, 3] @ newer
    np.testing.assert_allclose(fourth, expected, atol=1e-5)
