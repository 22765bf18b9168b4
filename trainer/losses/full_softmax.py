"""Softmax over the whole corpus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import tensorflow as tf

from trainer.losses.base import LossContext, Retrieval, RetrievalLoss, wide

# exp(40) = 2e17 and its inverse, and sums of millions of them, are far from the ends of
# float32.
_UNSHIFTED_BOUND: Final = 40.0


class FullSoftmax(RetrievalLoss):
    """Cross-entropy of the right movie among the whole corpus.

    `logsumexp_j(q_i . c_j / T) - q_i . c_target(i) / T`. It is exact and needs no
    correction for sampling. Time and memory grow with targets times movies.

    Movies without ratings are left out: they are never the target, so the model would
    only learn to score them low.
    """

    needs_all_movies = True

    def __init__(self, context: LossContext) -> None:
        super().__init__(context)
        self._rated = np.flatnonzero(context.num_ratings).astype(np.int32)

    def candidate_ids(self, targets: tf.Tensor) -> tf.Tensor:
        """Returns all movies that have ratings, in order."""
        return tf.constant(self._rated)

    def call(self, retrieval: Retrieval) -> tf.Tensor:
        """Computes the loss of the step: see `RetrievalLoss.call`."""
        right = self.right_logits(retrieval)
        # A mean of products is the product with the mean: no pass over the logits.
        mean = tf.reduce_mean(retrieval.candidates, axis=0, keepdims=True)
        mean_logit = self.logits(retrieval.queries, mean)[:, 0]
        if self._num_hard_negatives:
            logits = self.logits(retrieval.queries, retrieval.candidates)
            is_right = retrieval.targets[:, None] == retrieval.candidate_ids[None, :]
            negatives = tf.where(is_right, tf.cast(-float("inf"), logits.dtype), logits)
            return self.cross_entropy(right, negatives, mean_logit, retrieval.weights)
        queries = retrieval.queries / self.temperature
        return self.reduce(
            log_partition(queries, retrieval.candidates),
            right,
            mean_logit,
            retrieval.weights,
        )


@tf.custom_gradient
def log_partition(
    queries: tf.Tensor, candidates: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """Computes `log(sum_j(exp(q_i . c_j)))` with a custom gradient.

    The gradient of a query is the mean of the candidates, weighted by their softmax;
    that of a candidate is the sum of the queries, weighted the same way. Both are
    matrix products with the softmax numerators of the forward pass; the denominators
    scale the queries instead. This saves the other passes over the `[n, c]` logits,
    which took half of the time.

    Args:
      queries: `[n, dim]`.
      candidates: `[c, dim]`.

    Returns:
      float32 or wider `[n]`, and the function of the gradient.
    """
    shift, numerators = numerators_of(queries, candidates)
    total = tf.reduce_sum(numerators, axis=1, keepdims=True)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        terms, weights = numerators, upstream[:, None] / total
        if queries.dtype != numerators.dtype:
            # Half precision holds probabilities, but no sum as large as the corpus.
            terms, weights = numerators / total, upstream[:, None]
        terms, weights = (tf.cast(x, queries.dtype) for x in (terms, weights))
        # Transposed at the end: computing `[c, dim]` directly takes a fifth longer.
        of_candidates = tf.matmul(queries * weights, terms, transpose_a=True)
        return tf.matmul(terms, candidates) * weights, tf.transpose(of_candidates)

    return (shift + tf.math.log(total))[:, 0], gradient


def numerators_of(
    queries: tf.Tensor, candidates: tf.Tensor, right: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes `exp(q_i . c_j - shift_i)`.

    The shift keeps the sum over candidates finite and above zero. It is the highest
    logit, as usual, or 0 where a bound shows that no logit needs a shift: finding and
    subtracting the highest takes two passes over all logits, and the bound only one
    over queries and candidates.

    Args:
      queries: `[n, dim]`.
      candidates: `[c, dim]`.
      right: `[n]`, one more logit of each query; None for none.

    Returns:
      Shifts `[n, 1]`, and numerators `[n, c]`.
    """
    logits = wide(tf.matmul(queries, candidates, transpose_b=True))

    def shifted() -> tuple[tf.Tensor, tf.Tensor]:
        highest = tf.reduce_max(logits, axis=1, keepdims=True)
        if right is not None:
            highest = tf.maximum(highest, right[:, None])
        return highest, tf.exp(logits - highest)

    if queries.dtype != logits.dtype:  # half precision cannot hold large numerators
        return shifted()
    # |q . c| <= |q| |c|: Cauchy-Schwarz.
    bound = tf.sqrt(_max_squared_length(queries) * _max_squared_length(candidates))
    if right is not None:
        bound = tf.reduce_max(tf.concat([bound[None], right], axis=0))
    shift, numerators = tf.cond(
        bound <= _UNSHIFTED_BOUND,
        lambda: (tf.zeros_like(logits[:, :1]), tf.exp(logits)),
        shifted,
    )
    return shift, numerators


def _max_squared_length(vectors: tf.Tensor) -> tf.Tensor:
    """Returns the largest squared length of the rows of `[n, dim]`, 0 without rows."""
    squares = tf.reduce_sum(tf.square(vectors), axis=1)
    return tf.reduce_max(tf.pad(squares, [[0, 1]]))
