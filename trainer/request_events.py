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
      keys: int64 `[batch, L]`, a number for each movie, also for each unknown one.
    """

    movies: tf.Tensor
    ratings: tf.Tensor
    timestamps: tf.Tensor
    keys: tf.Tensor

    @classmethod
    def of_request(
        cls,
        movie_ids: tf.Tensor,
        movies: tf.Tensor,
        ratings: tf.Tensor,
        timestamps: tf.Tensor,
        num_movies: int,
    ) -> Events:
        """Returns the events of a request.

        Args:
          movie_ids: string `[batch, L]`.
          movies: int32 `[batch, L]`, see the attributes; `num_movies` for unknown ids.
          ratings: float32 `[batch, L]`.
          timestamps: int64 `[batch, L]`.
          num_movies: Size of the corpus.
        """
        hashes = tf.strings.to_hash_bucket_fast(movie_ids, tf.int64.max - num_movies)
        keys = tf.cast(movies, tf.int64)
        keys = tf.where(keys < num_movies, keys, num_movies + hashes)
        return cls(movies, ratings, timestamps, keys)

    @classmethod
    def stored(cls, timelines: EventLists) -> Events:
        """Returns the events of stored timelines."""
        movies, ratings, timestamps = (
            column.to_tensor(PADDING) for column in timelines
        )
        return cls(movies, ratings, timestamps, tf.cast(movies, tf.int64))

    def followed_by(self, others: Events) -> Events:
        """Returns these events and others of the same users, which are newer data."""
        pairs = zip(self, others, strict=True)
        return Events(*(tf.concat(pair, axis=1) for pair in pairs))

    def timelines(self) -> EventLists:
        """Returns the events by time, as those of the training data.

        Events of the same second keep their order. Of several events of one movie the
        latest counts, as in
        `components.movielens_example_gen.timelines.drop_duplicates`, and of the same
        second the first. So what is stored already may come again, and the copies of a
        request's first value do not count with which TensorFlow Serving pads shorter
        lists.
        """
        is_event = self._latest() & tf.not_equal(self.movies, PADDING)
        order = tf.argsort(self.timestamps, stable=True)
        *columns, is_event = (
            tf.gather(column, order, batch_dims=1)
            for column in (self.movies, self.ratings, self.timestamps, is_event)
        )
        return EventLists(*(tf.ragged.boolean_mask(c, is_event) for c in columns))

    def _latest(self) -> tf.Tensor:
        """Returns which events are the latest of their movies: bool `[batch, L]`."""
        newest_first = tf.argsort(self.timestamps, direction="DESCENDING", stable=True)
        keys = tf.gather(self.keys, newest_first, batch_dims=1)
        by_key = tf.argsort(keys, stable=True)
        keys = tf.gather(keys, by_key, batch_dims=1)
        is_first = tf.not_equal(keys[:, 1:], keys[:, :-1])
        is_first = tf.pad(is_first, [[0, 0], [1, 0]], constant_values=True)
        position = tf.gather(newest_first, by_key, batch_dims=1)
        return tf.gather(is_first, tf.argsort(position), batch_dims=1)
