"""Pools of a timeline: weighted sums of its events, without any parameter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.context import ModelContext
from trainer.history.base import HistoryEncoder


class PooledHistory(HistoryEncoder):
    """Causal pools of the events before each place.

    For event embeddings `e_0 .. e_(L-1)` and a place `t` in `0 .. L`:

    * long-term taste, `sum(e_s for s < t) / sqrt(t)`: the square root keeps the scale
      of a sum of `t` independent vectors;
    * recent taste, `sum(decay ** (t - 1 - s) * e_s for s < t)`, once for each of
      `model.recency_decays`: a small one tells what was just watched, a large one the
      mood of the last weeks.

    All are linear in the events, so all places are one product with a constant
    lower-triangular matrix.
    """

    def __init__(self, context: ModelContext) -> None:
        """See the class docstring."""
        super().__init__(context)
        decays = context.config["recency_decays"]
        self.num_outputs = 1 + len(decays)
        self._weights = _weights(context.window_length, decays)

    def call(
        self, events: tf.Tensor, positions: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Pools the events before chosen places: see `HistoryEncoder.call`."""
        length, dim = self.window_length, self.embedding_dim
        # One large matrix product is several times faster than a batched one.
        by_event = tf.reshape(tf.transpose(events, [1, 0, 2]), [length, -1])
        pools = tf.matmul(tf.cast(self._weights, events.dtype), by_event)
        batch = tf.shape(events)[0]
        row, place = positions[:, :1], positions[:, 1:]
        first_place = tf.range(self.num_outputs) * (length + 1)
        # From the product as it lies: transposing it costs more than the product.
        return tf.gather(
            tf.reshape(pools, [-1, dim]), (first_place + place) * batch + row
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
    """Makes the weights of each event at each place: `[pools * (L + 1), L]`."""
    place, event = np.arange(length + 1)[:, None], np.arange(length)[None, :]
    age = place - 1 - event
    long_term = (age >= 0) / np.sqrt(np.maximum(place, 1))
    recent = [np.where(age >= 0, decay ** np.maximum(age, 0), 0.0) for decay in decays]
    return np.concatenate([long_term, *recent]).astype("float32")
