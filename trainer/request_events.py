"""The events of a request as timelines, like those that the model was trained on."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from trainer.ranking import PADDING
from trainer.user_store import EventLists


class Events(NamedTuple):
    """Events in any order.

    Attributes:
      movies: int32 `[batch, L]`, vocabulary indices, `PADDING` where there is no event.
      ratings: float32 `[batch, L]`, stars.
      timestamps: int64 `[batch, L]`, seconds since the epoch, UTC.
    """

    movies: tf.Tensor
    ratings: tf.Tensor
    timestamps: tf.Tensor

    def in_order(self) -> EventLists:
        """Returns them by time; events of the same second keep their order."""
        order = tf.argsort(self.timestamps, stable=True)
        columns = [tf.gather(column, order, batch_dims=1) for column in self]
        is_event = tf.not_equal(columns[0], PADDING)
        return EventLists(*(tf.ragged.boolean_mask(c, is_event) for c in columns))

    def after(self, stored: EventLists) -> EventLists:
        """Returns stored timelines with these events, by time.

        Of the same second, the stored events come first. What is stored already, the
        same movie at the same time, is left out: callers need not know when the model
        was exported.

        Args:
          stored: Timelines of the same users.
        """
        old = Events(*(column.to_tensor(PADDING) for column in stored))
        is_stored = tf.equal(self.movies[:, :, tf.newaxis], old.movies[:, tf.newaxis])
        is_stored &= tf.equal(
            self.timestamps[:, :, tf.newaxis], old.timestamps[:, tf.newaxis]
        )
        new = self._replace(
            movies=tf.where(tf.reduce_any(is_stored, axis=2), PADDING, self.movies)
        )
        pairs = zip(old, new, strict=True)
        return Events(*(tf.concat(pair, axis=1) for pair in pairs)).in_order()
