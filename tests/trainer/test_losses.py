"""Losses against oracles in NumPy."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.losses import full_softmax


def test_full_softmax_is_the_mean_cross_entropy() -> None:
    rng = np.random.default_rng(3)
    queries, candidates = rng.normal(size=(7, 4)), rng.normal(size=(9, 4))
    targets = rng.integers(0, 9, size=7)
    logits = queries @ candidates.T
    expected = np.mean(
        np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(7), targets]
    )
    loss = full_softmax(
        tf.constant(queries), tf.constant(candidates), tf.constant(targets)
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_full_softmax_survives_large_scores() -> None:
    loss = full_softmax(
        tf.constant([[1000.0]]), tf.constant([[1.0], [-1.0]]), tf.constant([1])
    )
    np.testing.assert_allclose(loss, 2000.0)


def test_a_batch_without_targets_costs_nothing() -> None:
    loss = full_softmax(
        tf.zeros([0, 4]), tf.zeros([9, 4]), tf.zeros([0], dtype=tf.int32)
    )
    assert float(loss) == 0.0
