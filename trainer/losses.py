"""Losses of retrieval: softmax over the corpus, whole or sampled.

A loss is an object with two methods, see `RetrievalLoss`: it names the candidates of a
step before they are embedded, and scores the step after that.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

# Below so many movies the whole corpus costs less than what sampling loses.
_LARGEST_FULL_CORPUS: Final = 4096
# Between uniform (0) and proportional to frequency (1), as in word2vec: rare movies are
# negatives often enough to learn a place. Mikolov et al. 2013, arXiv:1310.4546.
_SAMPLING_POWER: Final = 0.75


class Retrieval(NamedTuple):
    """What the towers make of a batch of windows.

    Attributes:
      queries: `[n, dim + 1]`, one for every target event of the batch.
      targets: int32 `[n]`, the movie of each target event.
      positives: `[n, dim + 1]`, the embedded targets.
      candidate_ids: int32 `[c]`, see `RetrievalLoss.candidate_ids`.
      candidates: `[c, dim + 1]`, the embedded candidates.
    """

    queries: tf.Tensor
    targets: tf.Tensor
    positives: tf.Tensor
    candidate_ids: tf.Tensor
    candidates: tf.Tensor


class RetrievalLoss(Protocol):
    """What the model asks of a loss."""

    def candidate_ids(self) -> tf.Tensor:
        """Names the movies that this step compares with: int32 `[c]`."""

    def __call__(self, retrieval: Retrieval) -> tf.Tensor:
        """Returns the mean loss of the targets in nats, 0 without any."""


class FullSoftmax:
    """Mean cross-entropy of the right movie among the whole corpus.

    `mean_i(logsumexp_j(q_i . c_j) - q_i . c_target(i))`: exact, so that no sampling has
    to be corrected for. Time and memory grow with targets times corpus.

    Args:
      num_movies: Size of the corpus.
    """

    def __init__(self, num_movies: int) -> None:
        """See the class docstring."""
        self._num_movies = num_movies

    def candidate_ids(self) -> tf.Tensor:
        """Names the whole corpus, in order."""
        return tf.range(self._num_movies)

    def __call__(self, retrieval: Retrieval) -> tf.Tensor:
        """Returns the mean cross-entropy, in nats."""
        logits = tf.matmul(retrieval.queries, retrieval.candidates, transpose_b=True)
        return _mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(retrieval.targets, logits)
        )


class SampledSoftmax:
    """Cross-entropy among the right movie and a shared sample of negatives.

    Negatives are drawn with replacement, `num_negatives` for the whole batch, with
    probability `p_j` proportional to `(events of j + 1) ** 0.75` in the train split.
    Each sampled logit is lowered by the logarithm of how often it is expected in the
    sample, `log(num_negatives * p_j)`, so that the partition function is estimated
    without bias: the logQ correction of Bengio & Senecal 2008 and Yi et al. 2019
    (https://doi.org/10.1145/3298689.3346996). The right movie is always there, hence
    not corrected. A negative that is the right movie of its query is left out.

    Args:
      num_ratings: `[num_movies]`, events of each movie in the train split.
      num_negatives: Size of the sample.
      seed: Seed of the sample, which differs from step to step.
    """

    def __init__(
        self, num_ratings: NDArray[Any], num_negatives: int, seed: int
    ) -> None:
        """See the class docstring."""
        weights = (num_ratings + 1.0) ** _SAMPLING_POWER
        probabilities = weights / weights.sum()
        self._log_expected = np.log(num_negatives * probabilities).astype(np.float32)
        self._cumulative = np.cumsum(probabilities).astype(np.float32)
        self._num_negatives = num_negatives
        self._seed = keras.random.SeedGenerator(seed)

    def candidate_ids(self) -> tf.Tensor:
        """Draws the negatives of a step."""
        draws = keras.random.uniform((self._num_negatives,), seed=self._seed)
        # The last of the cumulated probabilities may be a hair below 1.
        last = len(self._cumulative) - 1
        return tf.minimum(tf.searchsorted(self._cumulative, draws, side="right"), last)

    def __call__(self, retrieval: Retrieval) -> tf.Tensor:
        """Returns the mean cross-entropy, in nats."""
        right = tf.reduce_sum(
            retrieval.queries * retrieval.positives, axis=1, keepdims=True
        )
        logits = tf.matmul(retrieval.queries, retrieval.candidates, transpose_b=True)
        expected = tf.gather(self._log_expected, retrieval.candidate_ids)
        logits -= tf.cast(expected, logits.dtype)
        is_right = retrieval.targets[:, None] == retrieval.candidate_ids[None, :]
        logits = tf.where(is_right, -float("inf"), logits)
        total = tf.reduce_logsumexp(tf.concat([right, logits], axis=1), axis=1)
        return _mean(total - right[:, 0])


def make_loss(
    name: str, num_ratings: NDArray[Any], num_negatives: int, seed: int
) -> RetrievalLoss:
    """Makes the loss that `pipeline.config.TrainConfig` names.

    Args:
      name: "full_softmax", "sampled_softmax", or "auto" for the first where the corpus
        is small enough and the second elsewhere.
      num_ratings: `[num_movies]`, events of each movie in the train split.
      num_negatives: Size of a sample.
      seed: Seed of the sample.

    Returns:
      The loss.
    """
    num_movies = len(num_ratings)
    if name == "auto":
        is_small = num_movies <= _LARGEST_FULL_CORPUS
        name = "full_softmax" if is_small else "sampled_softmax"
    if name == "full_softmax":
        return FullSoftmax(num_movies)
    return SampledSoftmax(num_ratings, num_negatives, seed)


def _mean(losses: tf.Tensor) -> tf.Tensor:
    """Mean of `[n]`, 0 for an empty batch."""
    return tf.math.divide_no_nan(
        tf.reduce_sum(losses), tf.cast(tf.size(losses), losses.dtype)
    )
