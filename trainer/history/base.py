"""The interface of a history encoder, and the encoder that reads nothing."""

from __future__ import annotations

import keras
import tensorflow as tf

from trainer.context import ModelContext


class HistoryEncoder(keras.layers.Layer):
    """Encodes what users have watched before some positions of their timelines.

    Position `t` of `0 .. L` is the moment before event `t`. The code of a position may
    depend only on the events before it, or the model would see what it is to predict.

    `--set model.history_encoder=package.module.Class` selects a subclass of your own by
    its dotted path. An example is the mean of all earlier events:

    ```python
    import tensorflow as tf
    from trainer.history import HistoryEncoder


    class MeanHistory(HistoryEncoder):
        def call(self, events, positions, training=False):
            sums = tf.pad(tf.cumsum(events, axis=1), [[0, 0], [1, 0], [0, 0]])
            counts = tf.cast(tf.maximum(positions[:, 1:], 1), events.dtype)
            return (tf.gather_nd(sums, positions) / counts)[:, None, :]
    ```

    Attributes:
      num_outputs: Codes that the encoder returns for one position.
      reads_timestamps: Whether `call` has a further argument, `timestamps`: int64
        `[batch, L]`, seconds since the epoch, UTC; anything at padding.
    """

    num_outputs: int = 1
    reads_timestamps: bool = False

    def __init__(self, context: ModelContext) -> None:
        super().__init__(name="history")
        self.embedding_dim = context.embedding_dim
        self.window_length = context.window_length

    def call(
        self, events: tf.Tensor, positions: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Encodes some positions of the timelines.

        Args:
          events: `[batch, L, embedding_dim]`, oldest first, zero where there is no
            event; padding comes after all of a row's events.
          positions: int32 `[n, 2]`, row and position in `0 .. L`.
          training: Whether dropout is on.

        Returns:
          `[n, num_outputs, embedding_dim]`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define call()")


class NoHistory(HistoryEncoder):
    """Reads nothing: the query tower of user ids alone, as in the TFRS tutorials."""

    num_outputs = 0

    def call(
        self, events: tf.Tensor, positions: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Returns no code: `[n, 0, dim]`."""
        return tf.zeros([tf.shape(positions)[0], 0, self.embedding_dim], events.dtype)
