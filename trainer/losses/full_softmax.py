"""Softmax over the whole corpus."""

from __future__ import annotations

import tensorflow as tf

from trainer.losses.base import Retrieval, RetrievalLoss


class FullSoftmax(RetrievalLoss):
    """Cross-entropy of the right movie among the whole corpus.

    `logsumexp_j(q_i . c_j / T) - q_i . c_target(i) / T`: exact, so that no sampling has
    to be corrected for. Time and memory grow with targets times corpus.
    """

    def candidate_ids(self, targets: tf.Tensor) -> tf.Tensor:
        """Names the whole corpus, in order."""
        return tf.range(self.num_movies)

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
