"""The interface of a history encoder."""

from __future__ import annotations

import keras
import tensorflow as tf

from trainer.context import ModelContext


class HistoryEncoder(keras.layers.Layer):
    """Encodes what a user has watched before some places of their timeline.

    A subclass of one's own is chosen by its dotted path,
    `--set model.history_encoder=package.module.Class`, and is constructed with a
    `ModelContext`. Place `t` of `0 .. L` is the moment before event `t`: unless an
    encoder says so, its code may depend on the events before it alone.

    Attributes:
      num_outputs: Codes that the encoder makes of one place.
    """

    num_outputs: int = 1

    def __init__(self, context: ModelContext) -> None:
        """See the class docstring."""
        super().__init__(name="history")
        self.embedding_dim = context.embedding_dim
        self.window_length = context.window_length

    def call(
        self, events: tf.Tensor, positions: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Encodes chosen places.

        Args:
          events: `[batch, L, embedding_dim]`, oldest first, zero where there is no
            event; all of a row's events stand before its padding.
          positions: int32 `[n, 2]`, row and place in `0 .. L`.
          training: Whether dropout is on.

        Returns:
          `[n, num_outputs, embedding_dim]`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define call()")


def states_at(states: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Picks the state behind the event before each place, zero before the first.

    Args:
      states: `[batch, L, dim]`, state behind each event.
      positions: int32 `[n, 2]`, row and place in `0 .. L`.

    Returns:
      `[n, 1, dim]`.
    """
    states = tf.pad(states, [[0, 0], [1, 0], [0, 0]])
    return tf.gather_nd(states, positions)[:, None, :]
