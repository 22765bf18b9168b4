"""Losses of retrieval: softmax over candidates."""

from __future__ import annotations

import tensorflow as tf


def full_softmax(
    queries: tf.Tensor, candidates: tf.Tensor, targets: tf.Tensor
) -> tf.Tensor:
    """Mean cross-entropy of the right candidate among the whole corpus.

    `mean_i(logsumexp_j(q_i . c_j) - q_i . c_target(i))`: exact, so that no sampling has
    to be corrected for. Time and memory grow with targets times corpus.

    Args:
      queries: `[n, dim]`.
      candidates: `[num_movies, dim]`.
      targets: int `[n]`, rows of `candidates`.

    Returns:
      The loss in nats, a scalar; 0 for an empty batch.
    """
    logits = tf.matmul(queries, candidates, transpose_b=True)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
    return tf.math.divide_no_nan(
        tf.reduce_sum(losses), tf.cast(tf.size(losses), losses.dtype)
    )
