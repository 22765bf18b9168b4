"""A recurrent history encoder."""

from __future__ import annotations

import keras
import tensorflow as tf

from trainer.context import ModelContext
from trainer.history.base import HistoryEncoder, states_at


class GRUHistory(HistoryEncoder):
    """Gated recurrent units over the events, as in GRU4Rec.

    Hidasi et al. 2016, "Session-based Recommendations with Recurrent Neural Networks",
    arXiv:1511.06939. The code of a position is the state after the event before it.
    """

    def __init__(self, context: ModelContext) -> None:
        super().__init__(context)
        dim = self.embedding_dim
        self._layers_in_order = [
            keras.layers.GRU(dim, return_sequences=True, name=f"gru_{i}")
            for i in range(context.config.encoder_layers)
        ]
        for layer in self._layers_in_order:
            layer.build((None, context.window_length, dim))

    def call(
        self, events: tf.Tensor, positions: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Runs over the timelines: see `HistoryEncoder.call`."""
        states = events
        for layer in self._layers_in_order:
            states = layer(states, training=training)
        return states_at(states, positions)
