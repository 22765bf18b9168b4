"""Softmax over the whole corpus."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from trainer.losses.base import LossContext, Retrieval, RetrievalLoss


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
        logits = self.logits(retrieval.queries, retrieval.candidates)
        # The mean of products is the product with the mean: no pass over the logits.
        middle = tf.reduce_mean(retrieval.candidates, axis=0, keepdims=True)
        mean_logit = self.logits(retrieval.queries, middle)[:, 0]
        if self._num_hard_negatives:
            is_right = retrieval.targets[:, None] == retrieval.candidate_ids[None, :]
            negatives = tf.where(is_right, tf.cast(-float("inf"), logits.dtype), logits)
            return self.cross_entropy(right, negatives, mean_logit)
        # A third faster than TensorFlow's fused cross-entropy, which passes over the
        # logits more often.
        total = tf.reduce_logsumexp(logits, axis=1)
        return self.reduce(total, right, mean_logit)
