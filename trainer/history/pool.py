"""History encoders that pool: weighted sums of the events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.context import ModelContext
from trainer.history.base import HistoryEncoder
from trainer.history.recent import LastEvents, TimePools

# Shorter blocks would save more work, but make matrix products too small to be fast.
_BLOCK_LENGTH: Final = 32


class PooledHistory(HistoryEncoder):
    """Causal weighted sums ("pools") of the events before each position.

    For event embeddings `e_0 .. e_(L-1)` and a position `t` in `0 .. L`:

    * long-term taste, `sum(e_s for s < t) / sqrt(t)`: the square root keeps the scale
      of a sum of `t` independent vectors;
    * recent taste, `sum(decay ** (t - 1 - s) * e_s for s < t)`, for each of
      `model.recency_decays`: a small decay covers the last few events, a large one the
      last weeks.

    All are linear in the events, so that one product with a constant triangular matrix
    of size `positions * events` would do. The positions are split into blocks instead:
    a pool is its value at the first position of the block, times one factor, plus the
    events of the block. For a window of 100 events that is a third of the work.

    Beside these, `TimePools` for each of `model.time_scales`, and `LastEvents` of
    `model.last_events`.
    """

    reads_timestamps = True

    def __init__(self, context: ModelContext) -> None:
        super().__init__(context)
        config = context.config
        decays = config.recency_decays
        self._num_pools = 1 + len(decays)
        scales, last = config.time_scales, config.last_events
        shape = self.window_length, self.embedding_dim
        self._time_pools = TimePools(scales, *shape) if scales else None
        self._last_events = LastEvents(last, *shape) if last else None
        self.num_outputs = self._num_pools + len(scales) + bool(last)
        num_positions = context.window_length + 1
        self._num_blocks = -(-num_positions // _BLOCK_LENGTH)
        self._block_length = -(-num_positions // self._num_blocks)
        weights = _weights(self._num_blocks * self._block_length, decays)
        first_positions = weights[:, :: self._block_length, : context.window_length]
        self._first_weights = np.swapaxes(first_positions, 0, 1)
        self._block_weights = _block_weights(weights, self._block_length)

    def call(
        self,
        events: tf.Tensor,
        positions: tf.Tensor,
        training: bool = False,
        timestamps: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Pools the events before each position: see `HistoryEncoder.call`."""
        codes = [self._pools(events, positions)]
        if self._time_pools is not None:
            codes.append(self._time_pools(events, positions, timestamps))
        if self._last_events is not None:
            codes.append(self._last_events(events, positions))
        return tf.concat(codes, axis=1)

    def _pools(self, events: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """Pools by place: `[n, pools, dim]`."""
        blocks, length = self._num_blocks, self._block_length
        batch = tf.shape(events)[0]
        # Large matrix products are several times faster than one for each row.
        by_event = tf.reshape(tf.transpose(events, [1, 0, 2]), [self.window_length, -1])
        first = tf.tensordot(
            tf.cast(self._first_weights, events.dtype), by_event, axes=1
        )
        padding = blocks * length - self.window_length
        padded = tf.pad(by_event, [[0, padding], [0, 0]])
        in_blocks = tf.reshape(padded, [blocks, length, -1])
        pools = tf.matmul(
            tf.cast(self._block_weights, events.dtype),
            tf.concat([first, in_blocks], axis=1),
        )
        row, position = positions[:, :1], positions[:, 1:]
        pool = position // length * self._num_pools + tf.range(self._num_pools)
        # Gathered from the product as it is: a transpose costs more than the product.
        return tf.gather(
            tf.reshape(pools, [-1, self.embedding_dim]),
            (pool * length + position % length) * batch + row,
        )


class BagHistory(HistoryEncoder):
    """All *other* events of a window, later ones included: `sum / sqrt(count)`.

    For data that is split at random, where held-out events lie among those of the
    timeline and not after them. It reads later events, so it must not be used to
    predict the next one, and it is never the default.
    """

    def call(
        self, events: tf.Tensor, positions: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Sums the events except that at the position: see `HistoryEncoder.call`."""
        is_event = tf.cast(tf.reduce_any(events != 0, axis=2), events.dtype)
        # One more, empty position, for the end of a full window.
        padded = tf.pad(events, [[0, 0], [0, 1], [0, 0]])
        own = tf.gather_nd(padded, positions)
        is_own = tf.gather_nd(tf.pad(is_event, [[0, 0], [0, 1]]), positions)
        row = positions[:, 0]
        others = tf.gather(tf.reduce_sum(events, axis=1), row) - own
        count = tf.gather(tf.reduce_sum(is_event, axis=1), row) - is_own
        return (others * tf.math.rsqrt(tf.maximum(count, 1))[:, None])[:, None, :]


def _weights(length: int, decays: Sequence[float]) -> NDArray[np.float32]:
    """Returns the weight of each event at each position: `[pools, length, length]`."""
    position, event = np.arange(length)[:, None], np.arange(length)[None, :]
    age = position - 1 - event
    long_term = (age >= 0) / np.sqrt(np.maximum(position, 1))
    recent = [np.where(age >= 0, decay ** np.maximum(age, 0), 0.0) for decay in decays]
    return np.stack([long_term, *recent]).astype("float32")


def _block_weights(weights: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Returns the weights by which a block computes its pools, for each block.

    Returns:
      `[blocks, pools * length, pools + length]`: for each pool at each position of the
      block, the weights of all pools at its first position and of its events.
    """
    num_pools = len(weights)
    blocks = []
    for start in range(0, weights.shape[1], length):
        block = slice(start, start + length)
        kept = np.zeros((num_pools, length, num_pools), "float32")
        if start:
            # At later positions, the weights of all earlier events shrink alike.
            last = weights[:, block, start - 1]
            kept += (last / last[:, :1])[:, :, None] * np.eye(num_pools)[:, None, :]
        blocks.append(np.concatenate([kept, weights[:, block, block]], axis=2))
    return np.stack(blocks).reshape(len(blocks), num_pools * length, -1)
