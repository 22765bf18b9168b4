"""Parts of a pooled history: the last events, and sums by the time since each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import keras
import numpy as np
import tensorflow as tf

# Positions of a block: shorter ones save more of the half that lies in the future, but
# make matrix products too small to be fast.
_BLOCK_LENGTH: Final = 34
_PLACE_RATE: Final = 0.003
_SMALL: Final = 1e-9


class LastEvents(keras.layers.Layer):
    """Transforms each of the last events by a matrix of its own, and sums.

    `sum(W_j e_(t - j) for j in 1 .. count)`, a causal convolution: what is watched next
    depends on which movies were the last, in their order (Rendle et al. 2010,
    "Factorizing Personalized Markov Chains"; Tang & Wang 2018, "Caser"). The matrices
    start at zero.

    Args:
      count: Events that are read.
      length: Events of a timeline, `L`.
      dim: Width of an event.
    """

    def __init__(self, count: int, length: int, dim: int) -> None:
        super().__init__(name="last_events")
        self._count, self._length, self._dim = count, length, dim
        self._matrices = self.add_weight(
            (count * dim, dim), initializer="zeros", name="matrices"
        )
        self.built = True

    def call(self, events: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """Reads the events before each position: see `HistoryEncoder.call`.

        Returns:
          `[n, 1, dim]`.
        """
        length = self._length + self._count
        padded = tf.pad(events, [[0, 0], [self._count, 0], [0, 0]])
        # Event t is row t + count of `padded`.
        first = positions[:, 0] * length + positions[:, 1]
        last = tf.gather(
            tf.reshape(padded, [-1, self._dim]),
            first[:, None] + tf.range(self._count),
        )
        code = tf.matmul(
            tf.reshape(last, [-1, self._count * self._dim]), self._matrices
        )
        return code[:, None, :]


class TimePools:
    """Weighted sums of the events, by the time since each and not by their number.

    For an event `s` before position `t`, whose last event is at the time `u`:

    `w_s = exp(-((u - time_s + 1 s) / scale) ** 2 - rate * (t - 1 - s))`,
    `code = sum(w_s * e_s) / sqrt(sum(w_s ** 2))`

    the exponential-power function of time of FuXi-gamma (arXiv:2512.12740) with the
    power 2, and a slow decay by places. A short scale is a pool of what was rated on
    one page; events of the same second count nearly alike, whatever their order. The
    root keeps the scale of a sum of independent vectors.

    Nothing of it is learned: training moved scales and powers little, without a gain.

    Args:
      scales: Seconds, one pool for each.
      length: Events of a timeline, `L`.
      dim: Width of an event.
    """

    def __init__(self, scales: Sequence[float], length: int, dim: int) -> None:
        self._scales, self._length, self._dim = scales, length, dim
        self.num_pools = len(scales)

    def __call__(
        self, events: tf.Tensor, positions: tf.Tensor, timestamps: tf.Tensor
    ) -> tf.Tensor:
        """Pools the events before each position: see `HistoryEncoder.call`.

        Returns:
          `[n, pools, dim]`.
        """
        length, dim = self._length, self._dim
        num_blocks = -(-(length + 1) // _BLOCK_LENGTH)
        size = -(-(length + 1) // num_blocks)
        # Of each row's own time: float32 has no seconds of 50 years.
        times = _relative(timestamps)
        blocks = []
        for start in range(0, length + 1, size):
            stop = min(start + size, length + 1)
            end = max(min(stop - 1, length), 1)  # of those before the last position
            weights = tf.cast(self._weights(times, start, stop, end), events.dtype)
            shape = [-1, self.num_pools, stop - start, dim]
            earlier = tf.slice(events, [0, 0, 0], [-1, end, -1])
            blocks.append(tf.reshape(tf.matmul(weights, earlier), shape))
        pools = tf.reshape(tf.concat(blocks, axis=2), [-1, dim])
        row, position = positions[:, :1], positions[:, 1:]
        pool = row * self.num_pools + tf.range(self.num_pools)
        return tf.gather(pools, pool * (length + 1) + position)

    def _weights(self, times: tf.Tensor, start: int, stop: int, end: int) -> tf.Tensor:
        """Computes the weights of events `0 .. end` at positions `start .. stop`.

        Returns:
          float32 `[batch, pools * positions, end]`.
        """
        position, event = np.arange(start, stop)[:, None], np.arange(end)[None, :]
        age = (position - 1 - event).astype("float32")
        by_place = np.where(age >= 0, -_PLACE_RATE * age, -np.inf).astype("float32")
        last = tf.gather(times, np.maximum(np.arange(start, stop) - 1, 0), axis=1)
        seconds = tf.cast(last[:, :, None] - times[:, None, :end], tf.float32)
        squared = tf.square(seconds + 1.0)
        weights = tf.concat(
            [tf.exp(by_place - squared / scale**2) for scale in self._scales], axis=1
        )
        squares = tf.reduce_sum(tf.square(weights), axis=2, keepdims=True)
        return weights * tf.math.rsqrt(squares + _SMALL)


def _relative(timestamps: tf.Tensor) -> tf.Tensor:
    """Returns seconds since the first event of each row: int32 `[batch, L]`.

    Up to 68 years, so that a first event at the epoch does not make all others one.
    """
    since = tf.clip_by_value(timestamps - timestamps[:, :1], 0, tf.int32.max)
    return tf.cast(since, tf.int32)
