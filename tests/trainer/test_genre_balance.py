"""Diversity and calibration of the genres of lists."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.genre_balance import genre_divergence, genre_diversity

# Drama; comedy; half of each; war; and none, as of the unknown movie.
WEIGHTS = tf.constant(
    [[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0], [0, 0, 1], [0, 0, 0]], tf.float32
)


def test_diversity_is_the_mean_over_pairs() -> None:
    lists = tf.constant([[0, 0, 1], [0, 2, 3], [4, 4, -1], [-1, -1, -1]])
    half = 1 - np.sqrt(0.5)
    np.testing.assert_allclose(
        genre_diversity(WEIGHTS, lists),
        [[0, 0, 2 / 3], [0, half, (half + 2) / 3], [0, 1, 1], [0, 0, 0]],
        atol=1e-6,
    )


def test_divergence_is_steck_s() -> None:
    history = tf.ragged.constant([[0, 0, 1], [2], [], [4]], dtype=tf.int32)
    lists = tf.constant([[0, 0, 1], [3, 0, 1], [0, 1, -1], [0, 1, 2]])
    found = genre_divergence(WEIGHTS, history, lists).numpy()
    p = np.array([2 / 3, 1 / 3])
    q = 0.99 * np.array([1.0, 0.0]) + 0.01 * p
    np.testing.assert_allclose(found[0, 0], (p * np.log(p / q)).sum(), rtol=1e-5)
    np.testing.assert_allclose(found[0, 2], 0, atol=1e-6)
    # A list of another genre only; nothing to compare with.
    np.testing.assert_allclose(found[1, 0], np.log(100), rtol=1e-5)
    np.testing.assert_array_equal(found[2:], 0)
