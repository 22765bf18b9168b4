"""Embeds what is known of an event beside its movie: rating and gap in time."""

from __future__ import annotations

from typing import Final

import keras
import tensorflow as tf

from trainer.context import ModelContext

_RATING_STEPS: Final = 2  # half stars
_NUM_RATINGS: Final = 11  # 0 to 5 stars
# Gaps of 1, 2, 4, ... seconds; the last bucket has all above 2^28 seconds (9 years).
_NUM_GAPS: Final = 30


class EventSignals(keras.layers.Layer):
    """Embeds an event's rating and the gap in time before it.

    The result is added to the movie's embedding, and starts at zero.
    """

    def __init__(self, context: ModelContext) -> None:
        super().__init__(name="event_signals")
        sizes = {"rating": _NUM_RATINGS, "gap": _NUM_GAPS}
        self._tables = {
            name: self.add_weight(
                (sizes[name], context.embedding_dim), initializer="zeros", name=name
            )
            for name in context.config.event_features
        }

    def call(self, ratings: tf.Tensor, timestamps: tf.Tensor) -> tf.Tensor:
        """Embeds the signals of all events.

        Args:
          ratings: float32 `[batch, L]`, stars, negative at padding.
          timestamps: int64 `[batch, L]`, seconds.

        Returns:
          `[batch, L, embedding_dim]`, zero at padding.
        """
        indices = {"rating": _rating_index(ratings), "gap": _gap_index(timestamps)}
        signals = tf.add_n(
            [tf.gather(table, indices[name]) for name, table in self._tables.items()]
        )
        return signals * tf.cast(ratings >= 0, signals.dtype)[:, :, None]


def _rating_index(ratings: tf.Tensor) -> tf.Tensor:
    half_stars = tf.cast(tf.round(ratings * _RATING_STEPS), tf.int32)
    return tf.clip_by_value(half_stars, 0, _NUM_RATINGS - 1)


def _gap_index(timestamps: tf.Tensor) -> tf.Tensor:
    """Returns 1 + log2 of the seconds since the event before, 0 within a second."""
    gaps = timestamps[:, 1:] - timestamps[:, :-1]
    seconds = tf.cast(tf.maximum(tf.pad(gaps, [[0, 0], [1, 0]]), 0), tf.float32)
    doublings = tf.math.log(tf.maximum(seconds, 0.5)) / tf.math.log(2.0)
    return tf.clip_by_value(tf.cast(doublings + 1, tf.int32), 0, _NUM_GAPS - 1)
