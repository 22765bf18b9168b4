"""Pools of a timeline: weighted sums of its events, without any parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.context import ModelContext
from trainer.history.base import HistoryEncoder

# Shorter ones would save more work, but make products too small to be fast.
_BLOCK_LENGTH: Final = 32


class PooledHistory(HistoryEncoder):
    """Causal pools of the events before each place.

    For event embeddings `e_0 .. e_(L-1)` and a place `t` in `0 .. L`:

    * long-term taste, `sum(e_s for s < t) / sqrt(t)`: the square root keeps the scale
      of a sum of `t` independent vectors;
    * recent taste, `sum(decay ** (t - 1 - s) * e_s for s < t)`, once for each of
      `model.recency_decays`: a small one tells what was just watched, a large one the
      mood of the last weeks.

    All are linear in the events, so they could be one product with a constant
    triangular matrix, `places * events` large. The places are split into blocks
    instead: a pool is what is left of it at its block's first place, by one factor,
    plus the block's events. Of a window of 100 events that is a third of the work.
    """

    def __init__(self, context: ModelContext) -> None:
        """See the class docstring."""
        super().__init__(context)
        decays = context.config.recency_decays
        self.num_outputs = 1 + len(decays)
        num_places = context.window_length + 1
        self._num_blocks = -(-num_places // _BLOCK_LENGTH)
        self._block_length = -(-num_places // self._num_blocks)
        weights = _weights(self._num_blocks * self._block_length, decays)
        first_places = weights[:, :: self._block_length, : context.window_length]
        self._of_first_places = np.swapaxes(first_places, 0, 1)
        self._of_blocks = _block_weights(weights, self._block_length)

    def call(
        self, events: tf.Tensor, positions: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Pools the events before chosen places: see `HistoryEncoder.call`."""
        blocks, length = self._num_blocks, self._block_length
        batch = tf.shape(events)[0]
        # Large matrix products are several times faster than one for each row.
        by_event = tf.reshape(tf.transpose(events, [1, 0, 2]), [self.window_length, -1])
        first = tf.tensordot(
            tf.cast(self._of_first_places, events.dtype), by_event, axes=1
        )
        padding = blocks * length - self.window_length
        padded = tf.pad(by_event, [[0, padding], [0, 0]])
        in_blocks = tf.reshape(padded, [blocks, length, -1])
        pools = tf.matmul(
            tf.cast(self._of_blocks, events.dtype),
            tf.concat([first, in_blocks], axis=1),
        )
        row, place = positions[:, :1], positions[:, 1:]
        pool = place // length * self.num_outputs + tf.range(self.num_outputs)
        # From the product as it lies: transposing it costs more than the product.
        return tf.gather(
            tf.reshape(pools, [-1, self.embedding_dim]),
            (pool * length + place % length) * batch + row,
        )


class BagHistory(HistoryEncoder):
    """All *other* events of a window, later ones included: `sum / sqrt(count)`.

    For data that is split at random, where what is held out lies among the events of
    the timeline and not behind them. It reads what comes later, so it is wrong for
    predicting what comes next, and it is never the default.
    """

    def call(
        self, events: tf.Tensor, positions: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Sums the events except that at the place: see `HistoryEncoder.call`."""
        is_event = tf.cast(tf.reduce_any(events != 0, axis=2), events.dtype)
        # One place more, empty, for the end of a full window.
        padded = tf.pad(events, [[0, 0], [0, 1], [0, 0]])
        own = tf.gather_nd(padded, positions)
        is_own = tf.gather_nd(tf.pad(is_event, [[0, 0], [0, 1]]), positions)
        row = positions[:, 0]
        others = tf.gather(tf.reduce_sum(events, axis=1), row) - own
        count = tf.gather(tf.reduce_sum(is_event, axis=1), row) - is_own
        return (others * tf.math.rsqrt(tf.maximum(count, 1))[:, None])[:, None, :]


def _weights(length: int, decays: Sequence[float]) -> NDArray[np.float32]:
    """Makes the weights of each event at each place: `[pools, length, length]`."""
    place, event = np.arange(length)[:, None], np.arange(length)[None, :]
    age = place - 1 - event
    long_term = (age >= 0) / np.sqrt(np.maximum(place, 1))
    recent = [np.where(age >= 0, decay ** np.maximum(age, 0), 0.0) for decay in decays]
    return np.stack([long_term, *recent]).astype("float32")


def _block_weights(weights: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Makes the weights of what a block's pools are made of, by block.

    Returns:
      `[blocks, pools * length, pools + length]`: of each pool at each place of the
      block, from all pools at its first place and from its events.
    """
    num_pools = len(weights)
    blocks = []
    for start in range(0, weights.shape[1], length):
        block = slice(start, start + length)
        kept = np.zeros((num_pools, length, num_pools), "float32")
        if start:
            # At all later places, all earlier events have lost the same share.
            last = weights[:, block, start - 1]
            kept += (last / last[:, :1])[:, :, None] * np.eye(num_pools)[:, None, :]
        blocks.append(np.concatenate([kept, weights[:, block, block]], axis=2))
    return np.stack(blocks).reshape(len(blocks), num_pools * length, -1)
