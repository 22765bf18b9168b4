"""Auxiliary losses, which train the same towers beside the retrieval loss."""

from __future__ import annotations

from typing import Final

import keras
import tensorflow as tf

from trainer.losses.base import mean
from trainer.movielens import HALF_STARS, RatingScale

_HIDDEN_UNITS: Final = 64
# Chen et al. 2020, "SimCLR", arXiv:2002.05709: 0.1 to 0.5 do equally well.
_VIEW_TEMPERATURE: Final = 0.1


class RatingHead(keras.layers.Layer):
    """Predicts the rating that the user gives: mean squared error, in stars squared.

    Ratings on another scale count as stars from 0.5 to 5, so that a weight of this loss
    means the same on every scale.

    As in the multi-task tutorial of TFRS: a small network reads query and movie, and
    its loss teaches the towers what users like, not only what they watch.

    Args:
      dim: Width of queries and movies.
      scale: The scale of the ratings.
    """

    def __init__(self, dim: int, scale: RatingScale) -> None:
        super().__init__(name="rating_head")
        span = HALF_STARS.highest - HALF_STARS.lowest
        self._stars = span / ((scale.highest - scale.lowest) or span)
        self._zero = HALF_STARS.lowest - scale.lowest * self._stars
        self._hidden = keras.layers.Dense(_HIDDEN_UNITS, activation="gelu")
        self._rating = keras.layers.Dense(1, bias_initializer="ones", dtype="float32")
        self._hidden.build((None, 2 * dim))
        self._rating.build((None, _HIDDEN_UNITS))

    def call(
        self, queries: tf.Tensor, movies: tf.Tensor, ratings: tf.Tensor
    ) -> tf.Tensor:
        """Returns the scalar loss of `[n, dim]`, `[n, dim]` and `[n]` ratings."""
        hidden = self._hidden(tf.concat([queries, movies], axis=1))
        # Keras casts the ratings to half precision; the prediction is float32.
        stars = tf.cast(ratings, tf.float32) * self._stars + self._zero
        errors = self._rating(hidden)[:, 0] - stars
        return mean(tf.square(errors))


def view_loss(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Contrasts two views of one timeline with views of others: InfoNCE, in nats.

    Yao et al. 2021, "Self-supervised Learning for Large-scale Item Recommendations",
    arXiv:2007.12865, equation 1, with timelines instead of items.

    Args:
      first: `[n, dim]`, codes of one view.
      second: `[n, dim]`, codes of the other view of the same timelines.

    Returns:
      The scalar loss, 0 for an empty batch.
    """
    first, second = (
        tf.math.l2_normalize(tf.cast(x, tf.float32), 1) for x in (first, second)
    )
    logits = tf.matmul(first, second, transpose_b=True) / _VIEW_TEMPERATURE
    labels = tf.range(tf.shape(logits)[0])
    return mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
