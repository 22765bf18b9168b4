"""Feature crossing by the cross network of DCN v2."""

from __future__ import annotations

import keras
import tensorflow as tf

_RANK_FRACTION = 4


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
