"""Sparse updates of large tables: rows are where Adam would have them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer import row_adam
from trainer.row_adam import RowAdam

_ROWS, _DIM, _STEPS = 300, 4, 600


def _schedule() -> keras.optimizers.schedules.LearningRateSchedule:
    return keras.optimizers.schedules.CosineDecay(0.01, _STEPS, alpha=0.05)


@pytest.fixture(autouse=True)
def small_tables_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_adam, "LARGE_TABLE", _ROWS * _DIM)


def test_touched_rows_are_where_adam_would_have_them() -> None:
    """Rows of all frequencies, some twice in a step; the others stay as they are."""
    rng = np.random.default_rng(0)
    before = rng.normal(size=(_ROWS, _DIM)).astype(np.float32)
    dense, sparse = keras.Variable(before), keras.Variable(before)
    adam, ours = keras.optimizers.Adam(_schedule()), RowAdam(_schedule())
    adam.build([dense])
    ours.build([sparse])

    @tf.function(autograph=False)
    def step(rows: tf.Tensor, values: tf.Tensor) -> None:
        slices = tf.IndexedSlices(values, rows, (_ROWS, _DIM))
        adam.apply([tf.convert_to_tensor(slices)], [dense])
        ours.apply([slices], [sparse])

    frequency = 1 / np.arange(1, 201)
    for _ in range(_STEPS):
        rows = rng.choice(200, 12, p=frequency / frequency.sum())
        values = rng.normal(size=(12, _DIM)) + np.sign(before[rows])
        step(tf.constant(rows, tf.int32), tf.constant(values * 1e-4, tf.float32))
    moved = np.abs(np.array(dense) - before).mean(axis=1)[:200]
    apart = np.abs(np.array(sparse) - np.array(dense)).mean(axis=1)[:200]
    assert np.median(apart / moved) < 0.02
    assert apart.sum() / moved.sum() < 0.02
    np.testing.assert_array_equal(np.array(sparse)[200:], before[200:])


def test_slices_of_one_row_count_as_their_sum() -> None:
    variables = [keras.Variable(np.zeros((_ROWS, _DIM), np.float32)) for _ in range(2)]
    for variable, rows in zip(variables, ([3, 3], [3, 5]), strict=True):
        optimizer = RowAdam(0.1)
        optimizer.build([variable])
        values = tf.constant([[1.0] * _DIM, [-1.0] * _DIM])
        slices = tf.IndexedSlices(values, tf.constant(rows), (_ROWS, _DIM))
        optimizer.apply([slices], [variable])
    assert not np.array(variables[0]).any()
    assert np.array(variables[1])[3].all()


@pytest.mark.parametrize(
    "settings", [{}, {"weight_decay": 0.1}, {"clipnorm": 1.0}, {"use_ema": True}]
)
def test_what_needs_the_whole_table_has_a_dense_gradient(
    settings: dict[str, Any],
) -> None:
    optimizer = RowAdam(0.1, **settings)
    large, small = (keras.Variable(np.zeros((n, _DIM))) for n in (_ROWS, 10))
    assert optimizer.takes_slices(large) == (not settings)
    assert not optimizer.takes_slices(small)
    assert not optimizer.takes_slices(keras.Variable(np.zeros(_ROWS * _DIM)))
