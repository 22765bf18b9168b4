"""The interface of a retrieval loss, and what the softmax losses share."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf
from numpy.typing import NDArray

from trainer.config import TrainConfig


class Retrieval(NamedTuple):
    """What the towers make of a batch of windows.

    Attributes:
      queries: `[n, dim]`, one for every target event of the batch.
      targets: int32 `[n]`, the movie of each target event.
      positives: `[n, dim]`, the embedded targets.
      candidate_ids: int32 `[c]`, see `RetrievalLoss.candidate_ids`.
      candidates: `[c, dim]`, the embedded candidates.
    """

    queries: tf.Tensor
    targets: tf.Tensor
    positives: tf.Tensor
    candidate_ids: tf.Tensor
    candidates: tf.Tensor


class LossContext(NamedTuple):
    """What a loss is constructed with, one's own included.

    Attributes:
      config: The section `train` of the configuration.
      num_ratings: int64 `[num_movies]`, events of each movie in the train split.
    """

    config: TrainConfig
    num_ratings: NDArray[Any]


class RetrievalLoss:
    """Which movies a step compares with, and how far the queries are from the truth.

    A subclass of one's own is chosen by its dotted path,
    `--set train.loss=package.module.Class`.
    """

    def __init__(self, context: LossContext) -> None:
        """Reads what the softmax losses have in common."""
        config = context.config
        self.num_movies = len(context.num_ratings)
        self.temperature = config.temperature
        self._label_smoothing = config.label_smoothing
        self._num_hard_negatives = config.hard_negatives
        self._sums = config.loss_reduction == "sum"

    def candidate_ids(self, targets: tf.Tensor) -> tf.Tensor:
        """Names the movies that this step compares with, before they are embedded.

        Args:
          targets: int32 `[n]`, the movies to find.

        Returns:
          int32 `[c]`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define candidate_ids()")

    def __call__(self, retrieval: Retrieval) -> tf.Tensor:
        """Returns the loss of the step: a scalar in nats, 0 without any target."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__()")

    def logits(self, queries: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """Scores over the temperature: float32 or wider, `[n, c]`."""
        scores = tf.matmul(queries, candidates, transpose_b=True)
        return (
            wide(scores) / self.temperature if self.temperature != 1 else wide(scores)
        )

    def right_logits(self, retrieval: Retrieval) -> tf.Tensor:
        """Scores of the targets over the temperature: `[n]`."""
        products = wide(retrieval.queries) * wide(retrieval.positives)
        return tf.reduce_sum(products, axis=1) / self.temperature

    def cross_entropy(
        self, right: tf.Tensor, negatives: tf.Tensor, mean_logit: tf.Tensor
    ) -> tf.Tensor:
        """Cross-entropy of the right candidate among itself and the negatives.

        `log(exp(right) + sum(exp(negatives))) - right`, of the hardest negatives alone
        with `train.hard_negatives`, and with `train.label_smoothing` the right label
        spread over all candidates (Szegedy et al. 2016, arXiv:1512.00567).

        Args:
          right: `[n]`.
          negatives: `[n, c]`, minus infinity where a candidate is none.
          mean_logit: `[n]`, mean over the candidates, for the smoothing.

        Returns:
          The scalar loss.
        """
        if self._num_hard_negatives:
            count = tf.minimum(self._num_hard_negatives, tf.shape(negatives)[1])
            negatives = tf.math.top_k(negatives, count, sorted=False).values
        others = tf.reduce_logsumexp(negatives, axis=1)
        total = tf.reduce_logsumexp(tf.stack([right, others], axis=1), axis=1)
        return self.reduce(total, right, mean_logit)

    def reduce(
        self, total: tf.Tensor, right: tf.Tensor, mean_logit: tf.Tensor
    ) -> tf.Tensor:
        """Mean or sum of `total - right`, smoothed; each `[n]`."""
        share = self._label_smoothing
        losses = (
            total - (1 - share) * right - share * mean_logit
            if share
            else (total - right)
        )
        if self._sums:
            return tf.reduce_sum(losses)
        count = tf.cast(tf.size(losses), losses.dtype)
        return tf.math.divide_no_nan(tf.reduce_sum(losses), count)


def wide(values: tf.Tensor) -> tf.Tensor:
    """Half precision is too coarse for sums over the corpus."""
    is_half = values.dtype in (tf.float16, tf.bfloat16)
    return tf.cast(values, tf.float32) if is_half else values
