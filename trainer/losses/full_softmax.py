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
    nothing passes over the `[n, c]` logits but what makes the numerators, and three
    products: passes took half of the time.

    Args:
      queries: `[n, dim]`.
      candidates: `[c, dim]`.

    Returns:
      float32 or wider `[n]`, and the gradient's function.
    """
    shift, numerators = _numerators(queries, candidates)
    total = tf.reduce_sum(numerators, axis=1, keepdims=True)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        weights = tf.cast(upstream[:, None] / total, queries.dtype)
        terms = tf.cast(numerators, queries.dtype)
        # The wide side last: a product of `[c, dim]` takes a fifth longer.
        of_candidates = tf.matmul(queries * weights, terms, transpose_a=True)
        return tf.matmul(terms, candidates) * weights, tf.transpose(of_candidates)

    return (shift + tf.math.log(total))[:, 0], gradient


def _numerators(
    queries: tf.Tensor, candidates: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes `exp(q_i . c_j - shift_i)`.

    The shift keeps the sum over candidates finite and above zero. It is the highest
    logit, as usual, unless no logit can be so large that a shift is needed: to find the
    highest and to subtract it are two passes over all logits, the bound is one over
    queries and candidates.

    Returns:
      Shifts `[n, 1]`, and numerators `[n, c]`.
    """
    logits = wide(tf.matmul(queries, candidates, transpose_b=True))

    def shifted() -> tuple[tf.Tensor, tf.Tensor]:
        highest = tf.reduce_max(logits, axis=1, keepdims=True)
        return highest, tf.exp(logits - highest)

    if queries.dtype != logits.dtype:  # numerators beyond 1 may be too large for halves
        return shifted()
    # |q . c| <= |q| |c|: Cauchy-Schwarz.
    bound = tf.sqrt(_longest(queries) * _longest(candidates))
    shift, numerators = tf.cond(
        bound <= _UNSHIFTED_BOUND,
        lambda: (tf.zeros_like(logits[:, :1]), tf.exp(logits)),
        shifted,
    )
    return shift, numerators


def _longest(vectors: tf.Tensor) -> tf.Tensor:
    """The largest squared length of the rows of `[n, dim]`, 0 without any."""
    squares = tf.reduce_sum(tf.square(vectors), axis=1)
    return tf.reduce_max(tf.pad(squares, [[0, 1]]))
