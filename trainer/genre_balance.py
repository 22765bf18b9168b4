"""Genres of recommended lists: how different, and how like those of the history."""

from __future__ import annotations

from typing import Final

import tensorflow as tf

from trainer.ranking import PADDING

# Share of the history in the distribution of the list, so that a genre which the list
# lacks has a finite divergence: `alpha` of Steck 2018.
_SMOOTHING: Final = 0.01


def genre_diversity(weights: tf.Tensor, top_ids: tf.Tensor) -> tf.Tensor:
    """Returns the intra-list diversity of each beginning of the lists.

    The mean over pairs of movies of 1 - the cosine of their genres: Smyth and McClave,
    "Similarity vs. Diversity", ICCBR 2001. A movie without genres is like no other.

    Args:
      weights: float32 `[num_movies + 1, genres]`.
      top_ids: int32 `[batch, k]`, corpus rows, best first, `PADDING` behind the end.

    Returns:
      float32 `[batch, k]`, from 0 to 1; column `i` is that of the first `i + 1` movies,
      0 for a single one.
    """
    vectors = tf.math.l2_normalize(_of_list(weights, top_ids), axis=2)
    found = tf.cast(top_ids != PADDING, tf.float32)
    count = tf.cumsum(found, axis=1)
    own = tf.cumsum(tf.reduce_sum(vectors**2, axis=2), axis=1)
    # The squared length of a sum has each pair twice, and each movie with itself.
    twice = tf.reduce_sum(tf.cumsum(vectors, axis=1) ** 2, axis=2) - own
    pairs = count * (count - 1)
    similarity = tf.math.divide_no_nan(twice, pairs)
    return tf.where(pairs > 0, tf.clip_by_value(1 - similarity, 0.0, 1.0), 0.0)


def genre_divergence(
    weights: tf.Tensor, history: tf.Tensor | tf.RaggedTensor, top_ids: tf.Tensor
) -> tf.Tensor:
    """Returns how far the genres of each beginning of the lists are from the history's.

    `KL(p, q) = sum_g(p_g * log(p_g / q_g))` in nats, with the genres `p` of the history
    and `q` of the list, each movie's summing to 1, and `q` smoothed by a hundredth of
    `p`: Steck, "Calibrated Recommendations", RecSys 2018. 0 is a list with the genres
    of the history; at most log(100) = 4.6.

    Args:
      weights: float32 `[num_movies + 1, genres]`, rows sum to 1 or to 0.
      history: int32 `[batch, events]`, corpus rows, `PADDING` behind the end.
      top_ids: int32 `[batch, k]`, corpus rows, best first, `PADDING` behind the end.

    Returns:
      float32 `[batch, k]`; column `i` is that of the first `i + 1` movies; 0 where no
      movie of the history has a genre.
    """
    if isinstance(history, tf.RaggedTensor):
        history = history.to_tensor(PADDING)
    own = tf.reduce_sum(_of_list(weights, history), axis=1)[:, tf.newaxis, :]
    listed = tf.cumsum(_of_list(weights, top_ids), axis=1)
    p, q = (
        tf.math.divide_no_nan(sums, tf.reduce_sum(sums, axis=2, keepdims=True))
        for sums in (own, listed)
    )
    smoothed = (1 - _SMOOTHING) * q + _SMOOTHING * p
    ratio = tf.where(p > 0, p / tf.where(p > 0, smoothed, 1.0), 1.0)
    return tf.maximum(tf.reduce_sum(p * tf.math.log(ratio), axis=2), 0.0)


def _of_list(weights: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """float32 `[batch, n, genres]`, zero at padding."""
    found = tf.cast(rows != PADDING, tf.float32)[:, :, tf.newaxis]
    return tf.gather(weights, tf.maximum(rows, 0)) * found
