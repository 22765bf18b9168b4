"""History encoders that learn from the order of events: recurrent, self-attention."""

from __future__ import annotations

import keras
import tensorflow as tf

from trainer.context import ModelContext
from trainer.history.base import HistoryEncoder


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
        return _states_at(states, positions)


class AttentionHistory(HistoryEncoder):
    """Causal self-attention over the events, as in SASRec.

    Kang & McAuley 2018, "Self-Attentive Sequential Recommendation", arXiv:1808.09781:
    blocks of attention and a point-wise feed-forward network, with layer normalization
    before and a residual connection around each. A learned embedding encodes the
    position of an event in its window.
    """

    def __init__(self, context: ModelContext) -> None:
        super().__init__(context)
        config, dim = context.config, self.embedding_dim
        self._blocks = [
            _Block(dim, config.encoder_heads, config.encoder_dropout, context.seed)
            for _ in range(config.encoder_layers)
        ]
        self._norm = keras.layers.LayerNormalization()
        shape = (None, context.window_length, dim)
        for layer in (*self._blocks, self._norm):
            layer.build(shape)
        self._position = self.add_weight(
            (context.window_length, dim), initializer="zeros", name="position"
        )

    def call(
        self, events: tf.Tensor, positions: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Attends to the events before each position: see `HistoryEncoder.call`."""
        states = events * self.embedding_dim**0.5 + self._position
        for block in self._blocks:
            states = block(states, training=training)
        return _states_at(self._norm(states), positions)


class _Block(keras.layers.Layer):
    """Attention and feed-forward network."""

    def __init__(self, dim: int, heads: int, dropout: float, seed: int) -> None:
        # Keras' default, made of `_Block`, is not a valid scope name in a graph.
        super().__init__(name="block")
        self._attention = keras.layers.MultiHeadAttention(
            heads, dim // heads, dropout=dropout, seed=seed
        )
        self._hidden = keras.layers.Dense(2 * dim, activation="gelu")
        self._output = keras.layers.Dense(dim)
        self._norms = [keras.layers.LayerNormalization() for _ in range(2)]
        self._dropout = keras.layers.Dropout(dropout, seed=seed + 1)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights, so that a model has them before its first step."""
        self._attention.build(input_shape, input_shape)
        for norm in self._norms:
            norm.build(input_shape)
        self._hidden.build(input_shape)
        self._output.build(self._hidden.compute_output_shape(input_shape))

    def call(self, states: tf.Tensor, training: bool = False) -> tf.Tensor:
        normed = self._norms[0](states)
        attended = self._attention(
            normed, normed, use_causal_mask=True, training=training
        )
        states += self._dropout(attended, training=training)
        hidden = self._hidden(self._norms[1](states))
        return states + self._dropout(self._output(hidden), training=training)


def _states_at(states: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Looks up the state `[n, 1, dim]` before each position, zero for position 0."""
    states = tf.pad(states, [[0, 0], [1, 0], [0, 0]])
    return tf.gather_nd(states, positions)[:, None, :]
