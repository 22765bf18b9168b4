"""The interface of a retrieval loss, and the code that the softmax losses share."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf
from numpy.typing import NDArray

from trainer.config import TrainConfig


class Retrieval(NamedTuple):
    """The towers' output for a batch of windows.

    Attributes:
      queries: `[n, dim]`, one for every target event of the batch.
      targets: int32 `[n]`, the movie of each target event.
      positives: `[n, dim]`, the embedded targets.
      candidate_ids: int32 `[c]`, see `RetrievalLoss.candidate_ids`.
      candidates: `[c, dim]`, the embedded candidates.
      weights: float32 `[n]`, how much each target counts; None for all the same.
    """

    queries: tf.Tensor
    targets: tf.Tensor
    positives: tf.Tensor
    candidate_ids: tf.Tensor
    candidates: tf.Tensor
    weights: tf.Tensor | None = None


class LossContext(NamedTuple):
    """What the constructor of every loss receives.

    Attributes:
      config: The section `train` of the configuration.
      num_ratings: int64 `[num_movies]`, events of each movie in the train split.
    """

    config: TrainConfig
    num_ratings: NDArray[Any]


class RetrievalLoss(keras.layers.Layer):
    """Chooses the candidates of a training step, and computes the loss over them.

    `--set train.loss=package.module.Class` selects a subclass of your own by its dotted
    path. It defines `candidate_ids` and `call`; as a Keras layer it may have weights
    and seed generators, which checkpoints include. An example is the softmax over the
    target and 100 movies drawn uniformly:

    ```python
    import keras
    import tensorflow as tf
    from trainer.losses import RetrievalLoss


    class UniformSoftmax(RetrievalLoss):
        def __init__(self, context):
            super().__init__(context)
            self._seed = keras.random.SeedGenerator(context.config.seed)

        def candidate_ids(self, targets):
            return keras.random.randint((100,), 0, self.num_movies, seed=self._seed)

        def call(self, retrieval):
            negatives = self.logits(retrieval.queries, retrieval.candidates)
            mean_logit = tf.reduce_mean(negatives, axis=1)
            right = self.right_logits(retrieval)
            return self.cross_entropy(right, negatives, mean_logit, retrieval.weights)
    ```

    Attributes:
      sums: Whether the loss is the sum over targets, and else their mean.
      needs_all_movies: Whether the candidates are most of the corpus. The model then
        embeds the whole corpus at each step, and else only the movies of the step.
    """

    needs_all_movies: bool = False

    def __init__(self, context: LossContext) -> None:
        """Reads what the softmax losses have in common."""
        # No cast: a query in half precision is widened by `wide`, where it matters.
        super().__init__(name="retrieval_loss", autocast=False)
        self.built = True  # weights are added here, not in `build`
        config = context.config
        self.num_movies = len(context.num_ratings)
        self.temperature = config.temperature
        self._label_smoothing = config.label_smoothing
        self._num_hard_negatives = config.hard_negatives
        self.sums = config.loss_reduction == "sum"

    def candidate_ids(self, targets: tf.Tensor) -> tf.Tensor:
        """Chooses the movies that this step compares with, before they are embedded.

        Args:
          targets: int32 `[n]`, the movies to find.

        Returns:
          int32 `[c]`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define candidate_ids()")

    def call(self, retrieval: Retrieval) -> tf.Tensor:
        """Returns the loss of the step: a scalar in nats, 0 without any target."""
        raise NotImplementedError(f"{type(self).__name__} must define call()")

    def logits(self, queries: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """Scores over the temperature: float32 or wider, `[n, c]`."""
        scores = wide(tf.matmul(queries, candidates, transpose_b=True))
        return scores / self.temperature if self.temperature != 1 else scores

    def right_logits(self, retrieval: Retrieval) -> tf.Tensor:
        """Scores of the targets over the temperature: `[n]`."""
        products = wide(retrieval.queries) * wide(retrieval.positives)
        return tf.reduce_sum(products, axis=1) / self.temperature

    def cross_entropy(
        self,
        right: tf.Tensor,
        negatives: tf.Tensor,
        mean_logit: tf.Tensor,
        weights: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Computes the cross-entropy of the right candidate against the negatives.

        `log(exp(right) + sum(exp(negatives))) - right`; with `train.hard_negatives`
        over the negatives of the highest logits only, and with `train.label_smoothing`
        the label spread over all candidates (Szegedy et al. 2016, arXiv:1512.00567).

        Args:
          right: `[n]`, logit of the target.
          negatives: `[n, c]`, minus infinity where a candidate is no negative.
          mean_logit: `[n]`, mean over the candidates, for label smoothing.
          weights: `[n]`, see `Retrieval`.

        Returns:
          The scalar loss.
        """
        if self._num_hard_negatives:
            count = tf.minimum(self._num_hard_negatives, tf.shape(negatives)[1])
            negatives = tf.math.top_k(negatives, count, sorted=False).values
        others = tf.reduce_logsumexp(negatives, axis=1)
        total = tf.reduce_logsumexp(tf.stack([right, others], axis=1), axis=1)
        return self.reduce(total, right, mean_logit, weights)

    def reduce(
        self,
        total: tf.Tensor,
        right: tf.Tensor,
        mean_logit: tf.Tensor,
        weights: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Mean or sum of `total - right`, with label smoothing; all are `[n]`."""
        share = self._label_smoothing
        losses = total - right
        if share:
            losses = total - (1 - share) * right - share * mean_logit
        weights = tf.ones_like(losses) if weights is None else weights
        weights = tf.cast(weights, losses.dtype)
        total = tf.reduce_sum(weights * losses)
        if self.sums:
            return total
        return tf.math.divide_no_nan(total, tf.reduce_sum(weights))


def wide(values: tf.Tensor) -> tf.Tensor:
    """Casts half precision, too coarse for sums over the corpus, to float32."""
    is_half = values.dtype in (tf.float16, tf.bfloat16)
    return tf.cast(values, tf.float32) if is_half else values


def mean(values: tf.Tensor) -> Any:
    """Returns the mean of `[n]`, 0 for an empty batch."""
    count = tf.cast(tf.size(values), values.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(values), count)
