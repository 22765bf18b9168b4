"""Dropout that draws one random byte for each value."""

from __future__ import annotations

from typing import Final

import keras
import tensorflow as tf

_BYTE_VALUES: Final = 256
_BYTES_OF_A_DRAW: Final = 4


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
