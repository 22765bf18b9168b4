"""A history encoder by self-attention."""

from __future__ import annotations

import keras
import tensorflow as tf

from trainer.context import ModelContext
from trainer.history.base import HistoryEncoder, states_at


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
        return states_at(self._norm(states), positions)


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
