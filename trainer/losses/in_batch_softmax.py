"""Softmax over the movies of the batch."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from trainer.losses.base import LossContext, Retrieval, RetrievalLoss


class InBatchSoftmax(RetrievalLoss):
    """Cross-entropy of the right movie among the targets of the whole batch.

    The other targets are the negatives, as in `tfrs.tasks.Retrieval`. Popular movies
    are negatives more often and would be scored too low; `train.logq_correction`
    subtracts the logarithm of each movie's frequency from its logit, that of the target
    included (Yi et al. 2019, https://doi.org/10.1145/3298689.3346996).

    `train.uniform_negatives` adds movies that are drawn uniformly from the corpus, so
    that movies which nobody in the batch watched are negatives too (Yang et al. 2020,
    https://doi.org/10.1145/3366424.3386195); the frequency is then that of the mixture.

    `train.remove_accidental_hits` leaves out negatives that are the query's own target,
    by id.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__(context)
        config, counts = context.config, context.num_ratings
        self._frequency = (counts / max(counts.sum(), 1)).astype(np.float32)
        self._num_uniform = config.uniform_negatives
        self._corrects = config.logq_correction
        self._removes_hits = config.remove_accidental_hits
        self._seed = keras.random.SeedGenerator(config.seed)

    def candidate_ids(self, targets: tf.Tensor) -> tf.Tensor:
        """Returns the targets, and draws the uniform negatives."""
        if not self._num_uniform:
            return targets
        draws = keras.random.randint(
            (self._num_uniform,), 0, self.num_movies, seed=self._seed
        )
        return tf.concat([targets, tf.cast(draws, targets.dtype)], axis=0)

    def call(self, retrieval: Retrieval) -> tf.Tensor:
        """Computes the loss of the step: see `RetrievalLoss.call`."""
        ids, size = retrieval.candidate_ids, tf.size(retrieval.targets)
        logits = self.logits(retrieval.queries, retrieval.candidates)
        mean_logit = tf.reduce_mean(logits, axis=1)
        right = self.right_logits(retrieval)
        if self._corrects:
            log_q = tf.cast(self._log_frequency(size), logits.dtype)
            logits -= tf.gather(log_q, ids)
            right -= tf.gather(log_q, retrieval.targets)
        is_right = tf.eye(size, tf.size(ids), dtype=tf.bool)
        if self._removes_hits:
            is_right = retrieval.targets[:, None] == ids[None, :]
        negatives = tf.where(is_right, tf.cast(-float("inf"), logits.dtype), logits)
        return self.cross_entropy(right, negatives, mean_logit, retrieval.weights)

    def _log_frequency(self, size: tf.Tensor) -> tf.Tensor:
        """Log of how often each movie is expected among the candidates, per target."""
        uniform = self._num_uniform / self.num_movies
        extra = tf.math.divide_no_nan(uniform, tf.cast(size, tf.float32))
        # Clipped as in TFRS: a movie without events would have an infinite logit.
        return tf.math.log(tf.clip_by_value(self._frequency + extra, 1e-6, 1.0))
