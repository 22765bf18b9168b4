"""Adam that updates only the rows of a large table that a step touches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

# Values of a table. A dense update of a smaller one takes two milliseconds or less.
LARGE_TABLE: Final = 1 << 20
_TABLE_RANK: Final = 2


class RowAdam(keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980), by rows where a table is large.

    Adam moves every row of a table at every step: without a gradient its momentum still
    moves it, ever less. With 15 million values that takes longer than the gradients.
    Here a step computes only the rows that it touches. One that was touched `k` steps
    before first makes up for the steps in between, in closed form:

        w <- w - alpha m / (sqrt(v) + epsilon) S(k - 1),   S(n) = r + r^2 + ... + r^n
        m <- beta_1^(k-1) m,   v <- beta_2^(k-1) v

    `r = beta_1 / sqrt(beta_2)` is the ratio of two successive moves without a gradient.
    Then it makes Adam's step with the sum of its slices.

    These moves are nine tenths of what a single gradient moves a row: optimizers that
    leave them out, as LazyAdam of TensorFlow Addons, learn rare rows at a tenth of
    Adam's rate. They must not wait for the next touch either, since the row is read
    before it. So a touched row is moved ahead at once, by `S(a)`, where `a` is how many
    steps it was not touched before, and the next touch corrects that by
    `S(k - 1) - S(a)`. Between touches the row is where Adam would have it `a` steps
    after the last one, for the same gradients and a learning rate that hardly changes
    within some ten steps.

    Keras updates all else: small tables, and gradients that are no slices.
    """

    def takes_slices(self, variable: keras.Variable) -> bool:
        """Returns whether the gradient of a variable, a matrix, may be slices."""
        # These are defined by the whole table.
        needs_all = (
            *(self.weight_decay, self.use_ema, self.amsgrad, self.clipvalue),
            *(self.clipnorm, self.global_clipnorm, self.gradient_accumulation_steps),
        )
        is_table = len(variable.shape) == _TABLE_RANK
        is_large = is_table and np.prod(variable.shape) >= LARGE_TABLE
        return bool(is_large) and not any(needs_all)

    def build(self, var_list: Sequence[keras.Variable]) -> None:
        """Adds the moments, and what is known of the touches of rows."""
        if self.built:
            return
        super().build(var_list)
        # `[rows, 2]`: the step of a row's last touch, and `a`. Float32 is exact for 16
        # million steps.
        self._touches = [
            self.add_variable((variable.shape[0], 2), name=f"touches_{i}")
            if self.takes_slices(variable)
            else None
            for i, variable in enumerate(var_list)
        ]

    def update_step(
        self,
        gradient: tf.Tensor | tf.IndexedSlices,
        variable: tf.Variable,
        learning_rate: Any,
    ) -> None:
        """Updates a variable: by rows if the gradient is slices."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        tables = (self._momentums[index], self._velocities[index], self._touches[index])
        rows, which = tf.unique(gradient.indices)
        slices = tf.math.unsorted_segment_sum(gradient.values, which, tf.size(rows))
        first, second, touched = (tf.gather(table.value, rows) for table in tables)
        step = tf.cast(self.iterations + 1, tf.float32)
        alpha = tf.cast(learning_rate, tf.float32) * (
            tf.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        )
        # Steps since the last touch, without this one; a row that was never touched
        # has no moments.
        missed, ahead = step - touched[:, :1] - 1, touched[:, 1:]
        owed = self._further_moves(missed) - self._further_moves(ahead)
        move = owed * first / (tf.sqrt(second) + self.epsilon)
        first = first * self.beta_1 ** (missed + 1) + (1 - self.beta_1) * slices
        second = second * self.beta_2 ** (missed + 1)
        second += (1 - self.beta_2) * tf.square(slices)
        moves = 1 + self._further_moves(missed)
        move += moves * first / (tf.sqrt(second) + self.epsilon)
        touched = tf.concat([tf.fill(tf.shape(missed), step), missed], axis=1)
        for table, value in zip(tables, (first, second, touched), strict=True):
            table.value.scatter_update(tf.IndexedSlices(value, rows))
        variable.scatter_sub(tf.IndexedSlices(alpha * move, rows))

    def _further_moves(self, steps: tf.Tensor) -> tf.Tensor:
        """Returns `S(steps)`: moves without a gradient, relative to the one before."""
        ratio = self.beta_1 / self.beta_2**0.5
        return ratio * (1 - ratio**steps) / (1 - ratio)
