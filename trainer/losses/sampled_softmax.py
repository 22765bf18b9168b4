"""Softmax over the target and a sample of the corpus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import keras
import numpy as np
import tensorflow as tf

from trainer.losses.base import LossContext, Retrieval, RetrievalLoss
from trainer.losses.full_softmax import numerators_of

# Between uniform (0) and proportional to frequency (1), as in word2vec, so that rare
# movies are negatives often enough. Mikolov et al. 2013, arXiv:1310.4546.
_SAMPLING_POWER: Final = 0.75


class SampledSoftmax(RetrievalLoss):
    """Cross-entropy of the target against a sample of negatives.

    `train.num_negatives` negatives are drawn for the whole batch, with replacement and
    with probability `p_j` proportional to `(events of j) ** 0.75` in the train split.
    Movies without ratings are never drawn, since the model would only learn to score
    them low.

    The logit of a negative is lowered by the logarithm of how often the movie is
    expected in the sample, `log(num_negatives * p_j)`, so that the estimate of the
    partition function is unbiased: the logQ correction of Bengio & Senecal 2008 and Yi
    et al. 2019 (https://doi.org/10.1145/3298689.3346996). The target is always present
    and not corrected. A negative that is its query's target is left out.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__(context)
        weights = context.num_ratings**_SAMPLING_POWER
        probabilities = weights / weights.sum()
        self._num_negatives = context.config.num_negatives
        # A movie that is never drawn needs no correction.
        expected = np.where(weights > 0, self._num_negatives * probabilities, 1.0)
        self._log_expected = np.log(expected).astype(np.float32)
        self._cumulative = np.cumsum(probabilities).astype(np.float32)
        self._seed = keras.random.SeedGenerator(context.config.seed)

    def candidate_ids(self, targets: tf.Tensor) -> tf.Tensor:
        """Draws the negatives of a step."""
        draws = keras.random.uniform((self._num_negatives,), seed=self._seed)
        # Rounding may leave the last cumulative probability just below 1.
        last = len(self._cumulative) - 1
        return tf.minimum(tf.searchsorted(self._cumulative, draws, side="right"), last)

    def call(self, retrieval: Retrieval) -> tf.Tensor:
        """Computes the loss of the step: see `RetrievalLoss.call`."""
        right = self.right_logits(retrieval)
        # A mean of products is the product with the mean: no pass over the logits.
        mean = tf.reduce_mean(retrieval.candidates, axis=0, keepdims=True)
        mean_logit = self.logits(retrieval.queries, mean)[:, 0]
        expected = tf.gather(self._log_expected, retrieval.candidate_ids)
        hits = accidental_hits(retrieval.targets, retrieval.candidate_ids)
        if self._num_hard_negatives:
            logits = self.logits(retrieval.queries, retrieval.candidates)
            logits -= tf.cast(expected, logits.dtype)
            nothing = tf.fill(tf.shape(hits)[:1], tf.cast(-float("inf"), logits.dtype))
            negatives = tf.tensor_scatter_nd_update(logits, hits, nothing)
            return self.cross_entropy(right, negatives, mean_logit, retrieval.weights)
        queries = retrieval.queries / self.temperature
        total = log_partition(queries, retrieval.candidates, expected, hits, right)
        return self.reduce(total, right, mean_logit, retrieval.weights)


def accidental_hits(targets: tf.Tensor, candidate_ids: tf.Tensor) -> tf.Tensor:
    """Finds where a candidate is the target, without comparing all pairs.

    Args:
      targets: int32 `[n]`.
      candidate_ids: int32 `[c]`, the same movie any number of times.

    Returns:
      int32 `[hits, 2]`: row of the target and column of the candidate.
    """
    order = tf.argsort(candidate_ids)
    ids = tf.gather(candidate_ids, order)
    first, end = (tf.searchsorted(ids, targets, side) for side in ("left", "right"))
    places = tf.ragged.range(first, end)
    rows = tf.cast(places.value_rowids(), tf.int32)
    return tf.stack([rows, tf.gather(order, places.flat_values)], axis=1)


@tf.custom_gradient
def log_partition(
    queries: tf.Tensor,
    candidates: tf.Tensor,
    log_expected: tf.Tensor,
    hits: tf.Tensor,
    right: tf.Tensor,
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor | None, ...]]]:
    """Computes `log(exp(right_i) + sum_j(exp(q_i . c_j) / expected_j))` without hits.

    With a gradient of its own for the same reason as that of the full softmax: three
    matrix products and few other passes over `[n, c]`. The correction is a weight of
    each candidate and needs none.

    Args:
      queries: `[n, dim]`.
      candidates: `[c, dim]`.
      log_expected: float32 `[c]`, how often each is expected in the sample.
      hits: int32 `[hits, 2]`, row and column of the pairs to leave out.
      right: float32 or wider `[n]`, logits of the targets.

    Returns:
      `[n]` of the type of `right`, and the function of the gradient.
    """
    shift, numerators = numerators_of(queries, candidates, right)
    nothing = tf.zeros(tf.shape(hits)[:1], numerators.dtype)
    numerators = tf.tensor_scatter_nd_update(numerators, hits, nothing)
    weights = tf.exp(-tf.cast(log_expected, numerators.dtype))
    of_right = tf.exp(right - shift[:, 0])
    total = tf.linalg.matvec(numerators, weights) + of_right

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        share = upstream / total
        terms, of_row, of_column = numerators, share, weights
        if queries.dtype != numerators.dtype:
            # Half precision holds probabilities, but no sum as large as the corpus.
            terms = numerators * weights / total[:, None]
            of_row, of_column = upstream, tf.ones_like(weights)
        terms = tf.cast(terms, queries.dtype)
        of_row, of_column = (
            tf.cast(factor[:, None], queries.dtype) for factor in (of_row, of_column)
        )
        # Transposed at the end: computing `[c, dim]` directly takes a fifth longer.
        of_candidates = tf.matmul(queries * of_row, terms, transpose_a=True)
        return (
            tf.matmul(terms, candidates * of_column) * of_row,
            tf.transpose(of_candidates) * of_column,
            *(None, None),
            share * of_right,
        )

    return shift[:, 0] + tf.math.log(total), gradient
