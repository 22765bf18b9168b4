"""Softmax over the target and a sample of the corpus."""

from __future__ import annotations

from typing import Final

import keras
import numpy as np
import tensorflow as tf

from trainer.losses.base import LossContext, Retrieval, RetrievalLoss

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
        logits = self.logits(retrieval.queries, retrieval.candidates)
        mean_logit = tf.reduce_mean(logits, axis=1)
        expected = tf.gather(self._log_expected, retrieval.candidate_ids)
        logits -= tf.cast(expected, logits.dtype)
        is_right = retrieval.targets[:, None] == retrieval.candidate_ids[None, :]
        negatives = tf.where(is_right, tf.cast(-float("inf"), logits.dtype), logits)
        return self.cross_entropy(self.right_logits(retrieval), negatives, mean_logit)
