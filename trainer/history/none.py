"""No encoder: the timeline is not read."""

from __future__ import annotations

import tensorflow as tf

from trainer.history.base import HistoryEncoder


class NoHistory(HistoryEncoder):
    """The query tower of user ids alone, as in the TFRS tutorials."""

    num_outputs = 0

    def call(
        self, events: tf.Tensor, positions: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Returns no code: `[n, 0, dim]`."""
        return tf.zeros([tf.shape(positions)[0], 0, self.embedding_dim], events.dtype)
