"""Layers of the towers: feature crossing, dropout, and signals of events."""

from __future__ import annotations

from typing import Final

import keras
import tensorflow as tf

from trainer.context import ModelContext

# What the rows of a table stand for, beside the name of a vocabulary: see `row_kinds`.
BY_INDEX: Final = "index"  # the same in every training; later trainings may have more
NOT_CARRIED: Final = "not carried"  # something that each training chooses anew

_RANK_FRACTION: Final = 4  # of the width, for the matrices of the cross network
_BYTE_VALUES: Final = 256
_BYTES_OF_A_DRAW: Final = 4
# Gaps of 1, 2, 4, ... seconds; the last bucket has all above 2^28 seconds (9 years).
_NUM_GAPS: Final = 30


def rows_of(table: keras.Variable, indices: tf.Tensor, dtype: str) -> tf.Tensor:
    """Looks up rows of a table that may be large, by its variable.

    `tf.gather(table, ...)` of a Keras variable reads the whole table first, which is a
    copy of it once a step has updated some of its rows.

    Args:
      table: Made by `add_weight(..., autocast=False)`.
      indices: Rows, integers of any shape.
      dtype: Type to cast the rows to, such as `compute_dtype` of the layer.
    """
    return tf.cast(tf.gather(table.value, indices), dtype)


class CrossNetwork(keras.layers.Layer):
    """Crosses all inputs with each other: `x_(l+1) = x_0 * (W_l x_l + b_l) + x_l`.

    Wang et al. 2021, "DCN V2", arXiv:2008.13535; each `W` is a product of two matrices
    of rank `width / 4`. The network starts as the identity.

    Args:
      num_layers: Cross layers; each raises the degree of the polynomial by 1.
      width: Columns of the input.
    """

    def __init__(self, num_layers: int, width: int) -> None:
        super().__init__(name="cross")
        rank = max(1, width // _RANK_FRACTION)
        self._down = [
            keras.layers.Dense(rank, use_bias=False) for _ in range(num_layers)
        ]
        self._up = [
            keras.layers.Dense(width, kernel_initializer="zeros")
            for _ in range(num_layers)
        ]
        for down, up in zip(self._down, self._up, strict=True):
            down.build((None, width))
            up.build((None, rank))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Crosses `[n, width]` into `[n, width]`."""
        crossed = inputs
        for down, up in zip(self._down, self._up, strict=True):
            crossed = inputs * up(down(crossed)) + crossed
        return crossed


class ByteDropout(keras.layers.Layer):
    """Dropout (Srivastava et al. 2014) at a quarter of the cost of random numbers.

    `keras.layers.Dropout` draws a float32 for each value, which takes a tenth of a
    training step here. A byte is enough where the rate is a multiple of 1 / 256.

    Args:
      rate: Share of values to drop, rounded to 1 / 256; 255 / 256 at most.
      seed: Seed of the draws.
    """

    def __init__(self, rate: float, seed: int) -> None:
        super().__init__()
        # Otherwise nothing would be left to scale up.
        self._threshold = min(round(rate * _BYTE_VALUES), _BYTE_VALUES - 1)
        self._seeds = keras.random.SeedGenerator(seed)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Drops values of `[n, width]` in training, and scales the others up."""
        if not training or not self._threshold:
            return inputs
        rows, width = tf.shape(inputs)[0], inputs.shape[1]
        draws = tf.random.stateless_uniform(
            [rows, -(-width // _BYTES_OF_A_DRAW)],
            self._seeds.next(),
            minval=None,
            maxval=None,
            dtype=tf.int32,
        )
        drawn = tf.reshape(tf.bitcast(draws, tf.uint8), [rows, -1])[:, :width]
        kept = tf.cast(drawn >= self._threshold, inputs.dtype)
        return inputs * (kept * (_BYTE_VALUES / (_BYTE_VALUES - self._threshold)))


class EventSignals(keras.layers.Layer):
    """Embeds an event's rating and the gap in time before it.

    The result is added to the movie's embedding, and starts at zero.
    """

    def __init__(self, context: ModelContext) -> None:
        super().__init__(name="event_signals")
        self._scale = context.rating_scale
        # A rating below the scale, in a request, has a row that nothing trains.
        sizes = {"rating": self._scale.num_ratings + 1, "gap": _NUM_GAPS}
        self._tables = {
            name: self.add_weight(
                (sizes[name], context.embedding_dim), initializer="zeros", name=name
            )
            for name in context.config.event_features
        }

    def call(self, ratings: tf.Tensor, timestamps: tf.Tensor) -> tf.Tensor:
        """Embeds the signals of all events.

        Args:
          ratings: float32 `[batch, L]`, on the rating scale, negative at padding.
          timestamps: int64 `[batch, L]`, seconds.

        Returns:
          `[batch, L, embedding_dim]`, zero at padding.
        """
        steps = tf.round((ratings - self._scale.lowest) / self._scale.step)
        highest = self._scale.num_ratings
        indices = {
            "rating": tf.clip_by_value(tf.cast(steps, tf.int32) + 1, 0, highest),
            "gap": _gap_index(timestamps),
        }
        signals = tf.add_n(
            [tf.gather(table, indices[name]) for name, table in self._tables.items()]
        )
        return signals * tf.cast(ratings >= 0, signals.dtype)[:, :, None]


def _gap_index(timestamps: tf.Tensor) -> tf.Tensor:
    """Returns 1 + log2 of the seconds since the event before, 0 within a second."""
    gaps = timestamps[:, 1:] - timestamps[:, :-1]
    seconds = tf.cast(tf.maximum(tf.pad(gaps, [[0, 0], [1, 0]]), 0), tf.float32)
    doublings = tf.math.log(tf.maximum(seconds, 0.5)) / tf.math.log(2.0)
    return tf.clip_by_value(tf.cast(doublings + 1, tf.int32), 0, _NUM_GAPS - 1)
