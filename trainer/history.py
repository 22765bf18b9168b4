"""Encoders of a timeline: what a user has watched so far, as one vector."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("two_tower")
class PooledHistory(keras.layers.Layer):
    """Causal pools of the events before each position, without any parameter.

    For event embeddings `e_0 .. e_(L-1)` and a position `t` in `0 .. L`:

    * long-term taste, `sum(e_s for s < t) / sqrt(t)`: the square root keeps the scale
      of a sum of `t` independent vectors;
    * recent taste, `sum(decay ** (t - 1 - s) * e_s for s < t)`, once for each decay: a
      small one tells what was just watched, a large one the mood of the last weeks.

    All are linear in the events, so all positions are one product with a constant
    lower-triangular matrix. Position `t` never depends on event `t` or a later one.

    Args:
      decays: Weights of an event relative to the next newer one, between 0 and 1.
    """

    def __init__(self, decays: Sequence[float], **kwargs: object) -> None:
        """See the class docstring."""
        super().__init__(**kwargs)
        self.decays = tuple(decays)
        self.num_outputs = 1 + len(self.decays)

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Makes the weights of each event at each position: `[pools * (L + 1), L]`."""
        length = input_shape[1]
        position, event = np.arange(length + 1)[:, None], np.arange(length)[None, :]
        age = position - 1 - event
        long_term = (age >= 0) / np.sqrt(np.maximum(position, 1))
        recent = [
            np.where(age >= 0, decay ** np.maximum(age, 0), 0.0)
            for decay in self.decays
        ]
        self._weights = np.concatenate([long_term, *recent]).astype("float32")

    def call(self, events: keras.KerasTensor) -> list[keras.KerasTensor]:
        """Pools the events before every position.

        Args:
          events: `[batch, L, dim]`, oldest first, zero where there is no event; all
            of a row's events stand before its padding.

        Returns:
          Long-term taste and recent taste by decay, each `[batch, L + 1, dim]`.
        """
        _, length, dim = events.shape
        # One large matrix product is several times faster than a batched one.
        by_event = ops.reshape(ops.transpose(events, (1, 0, 2)), (length, -1))
        weights = ops.convert_to_tensor(self._weights, dtype=events.dtype)
        pools = ops.reshape(
            ops.matmul(weights, by_event),
            (self.num_outputs, length + 1, -1, dim),
        )
        return [ops.transpose(pools[i], (1, 0, 2)) for i in range(self.num_outputs)]

    def get_config(self) -> dict[str, object]:
        """Returns what `__init__` takes."""
        return {**super().get_config(), "decays": self.decays}
