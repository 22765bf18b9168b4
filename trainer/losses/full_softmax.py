"""Softmax over the whole corpus."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from trainer.losses.base import LossContext, Retrieval, RetrievalLoss, wide


class FullSoftmax(RetrievalLoss):
    """Cross-entropy of the right movie among the whole corpus.

    `logsumexp_j(q_i . c_j / T) - q_i . c_target(i) / T`: exact, so that no sampling has
    to be corrected for. Time and memory grow with targets times corpus.

    Movies that nobody has rated yet are left out: they are never right, and all that
    could be learned of them is to score them low.
    """

    def __init__(self, context: LossContext) -> None:
        """See the class docstring."""
        super().__init__(context)
        self._rated = np.flatnonzero(context.num_ratings).astype(np.int32)

    def candidate_ids(self, targets: tf.Tensor) -> tf.Tensor:
        """Names the corpus, in order."""
        return tf.constant(self._rated)

    def __call__(self, retrieval: Retrieval) -> tf.Tensor:
        """See `RetrievalLoss.__call__`."""
        right = self.right_logits(retrieval)
        # The mean of products is the product with the mean: no pass over the logits.
        middle = tf.reduce_mean(retrieval.candidates, axis=0, keepdims=True)
        mean_logit = self.logits(retrieval.queries, middle)[:, 0]
        if self._num_hard_negatives:
            logits = self.logits(retrieval.queries, retrieval.candidates)
            is_right = retrieval.targets[:, None] == retrieval.candidate_ids[None, :]
            negatives = tf.where(is_right, tf.cast(-float("inf"), logits.dtype), logits)
            return self.cross_entropy(right, negatives, mean_logit)
        queries = retrieval.queries / self.temperature
        return self.reduce(
            log_partition(queries, retrieval.candidates), right, mean_logit
        )


@tf.custom_gradient
def log_partition(
    queries: tf.Tensor, candidates: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """Computes `log(sum_j(exp(q_i . c_j)))`, and how its gradient is computed.

    The gradient of a query is the mean of the candidates by their softmax, and that of
    a candidate the sum of the queries by theirs. Both are products with the numerators
    of the softmax that are at hand; their denominators scale the queries instead. So
    nothing passes over the `[n, c]` logits again, which half of the time went into.

    Args:
      queries: `[n, dim]`.
      candidates: `[c, dim]`.

    Returns:
      float32 or wider `[n]`, and the gradient's function.
    """
    logits = wide(tf.matmul(queries, candidates, transpose_b=True))
    highest = tf.reduce_max(logits, axis=1, keepdims=True)
    numerators = tf.exp(logits - highest)
    total = tf.reduce_sum(numerators, axis=1, keepdims=True)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        weights = tf.cast(upstream[:, None] / total, queries.dtype)
        terms = tf.cast(numerators, queries.dtype)
        return (
            tf.matmul(terms, candidates) * weights,
            tf.matmul(terms, queries * weights, transpose_a=True),
        )

    return (highest + tf.math.log(total))[:, 0], gradient
