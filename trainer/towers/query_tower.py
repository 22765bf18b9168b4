"""The query tower: embeds a user at a moment."""

from __future__ import annotations

from typing import NamedTuple

import keras
import tensorflow as tf

from trainer.context import ModelContext
from trainer.dotted_paths import find_class
from trainer.history import ENCODERS
from trainer.serving_contract import USER_VOCABULARY
from trainer.towers.candidate_tower import INITIALIZER
from trainer.towers.layers import (
    NOT_CARRIED,
    ByteDropout,
    CrossNetwork,
    EventSignals,
    rows_of,
)


class Timelines(NamedTuple):
    """The newest events of some users, oldest first, with padding after the last.

    Attributes:
      user_index: int32 `[batch]`, `num_users` for unknown ones.
      attribute_indices: int32 `[batch, attributes]`, 0 where unknown.
      movies: `[batch, L, embedding_dim]`, embedded, zero at padding.
      ratings: float32 `[batch, L]`, stars, negative at padding.
      timestamps: int64 `[batch, L]`, seconds since the epoch, UTC.
    """

    user_index: tf.Tensor
    attribute_indices: tf.Tensor
    movies: tf.Tensor
    ratings: tf.Tensor
    timestamps: tf.Tensor


class QueryTower(keras.layers.Layer):
    """Embeds a user at a moment: who they are and what they watched until then.

    `query = sum(inputs) + MLP(inputs)` of the user and the codes of the timeline, where
    the MLP starts at zero: training begins from the plain sum and learns to correct it.
    With `model.cross_layers` the MLP reads the inputs crossed with each other.

    Further columns embed the time of the last event, in buckets, since what is watched
    changes over the years for all users alike.

    `--set model.query_tower=package.module.Class` selects a subclass of your own by its
    dotted path. An example adds the movie of the last event to the query:

    ```python
    import tensorflow as tf
    from trainer.towers import QueryTower


    class LastEventTower(QueryTower):
        def call(self, timelines, positions, training=False):
            query = super().call(timelines, positions, training=training)
            events = tf.pad(timelines.movies, [[0, 0], [1, 0], [0, 0]])
            last = tf.gather_nd(events, positions)
            others = tf.zeros_like(query[:, self.embedding_dim :])
            return query + tf.concat([last, others], axis=1)
    ```
    """

    def __init__(self, context: ModelContext) -> None:
        super().__init__(name="query_tower")
        config, dim = context.config, context.embedding_dim
        self.num_users = context.num_users
        self.embedding_dim = dim
        self.history = find_class(
            "model.history_encoder", config.history_encoder, ENCODERS
        )(context)
        self._signals = EventSignals(context) if config.event_features else None
        self._user_dropout = config.user_dropout
        self._seed = keras.random.SeedGenerator(context.seed)
        self._dropout = ByteDropout(config.dropout, context.seed + 1)
        self._add_tables(context)
        self._add_correction((self.history.num_outputs + 1) * dim, context)
        self.built = True

    def _add_tables(self, context: ModelContext) -> None:
        dim, time_dim = context.embedding_dim, context.config.time_dim
        self.user = self.add_weight(
            (self.num_users + 1, dim),
            initializer=INITIALIZER,
            name="user",
            autocast=False,
        )
        sizes = context.attribute_sizes if context.config.user_attributes else ()
        self.attributes = [
            self.add_weight((size, dim), initializer="zeros", name=f"attribute_{i}")
            for i, size in enumerate(sizes)
        ]
        self._time_boundaries = context.time_boundaries
        # One more row for the position before the first event, which has no time.
        num_times = len(context.time_boundaries) + 2
        self.time = self.add_weight(
            (num_times, time_dim),
            initializer=INITIALIZER,
            name="time",
            trainable=time_dim > 0,
        )

    def _add_correction(self, width: int, context: ModelContext) -> None:
        layers, hidden = context.config.cross_layers, context.hidden_units
        self._hidden = self._cross = None
        if layers:
            self._cross = CrossNetwork(layers, width)
        if hidden:
            self._hidden = keras.layers.Dense(hidden, activation="gelu")
            self._correction = keras.layers.Dense(
                self.embedding_dim, kernel_initializer="zeros"
            )
            self._hidden.build((None, width))
            self._correction.build((None, hidden))

    def row_kinds(self) -> dict[str, str]:
        """Returns what the rows of each table stand for: see `CandidateTower`."""
        return {self.user.path: USER_VOCABULARY, self.time.path: NOT_CARRIED}

    def call(
        self, timelines: Timelines, positions: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Embeds queries at some positions of the timelines.

        Args:
          timelines: The users.
          positions: int32 `[n, 2]`, row and position in `0 .. L`: the query is made of
            the events before that position.
          training: Whether inputs and user ids are dropped at random.

        Returns:
          `[n, embedding_dim + time_dim + 1]`; the last column is 1, which the dot
          product multiplies with the movie's bias.
        """
        events = timelines.movies
        if self._signals is not None:
            events += self._signals(timelines.ratings, timelines.timestamps)
        user = tf.gather(self._embed_users(timelines, training), positions[:, 0])
        times = {"timestamps": timelines.timestamps}
        codes = self.history(
            events,
            positions,
            training=training,
            **(times if self.history.reads_timestamps else {}),
        )
        inputs = tf.concat([user[:, None, :], codes], axis=1)
        width = inputs.shape[1] * self.embedding_dim
        flat = self._dropout(tf.reshape(inputs, [-1, width]), training=training)
        query = tf.reduce_sum(tf.reshape(flat, [-1, *inputs.shape[1:]]), axis=1)
        if self._hidden is not None:
            crossed = flat if self._cross is None else self._cross(flat)
            query += self._correction(self._hidden(crossed))
        time = self._embed_time(timelines, positions)
        return tf.concat([query, time, tf.ones_like(query[:, :1])], axis=1)

    def _embed_users(self, timelines: Timelines, training: bool) -> tf.Tensor:
        """Embeds users, some as the unknown user in training: `[batch, dim]`."""
        index = timelines.user_index
        if training and self._user_dropout:
            draw = keras.random.uniform(tf.shape(index), seed=self._seed)
            index = tf.where(draw < self._user_dropout, self.num_users, index)
        user = rows_of(self.user, index, self.compute_dtype)
        for i, table in enumerate(self.attributes):
            user += tf.gather(table, timelines.attribute_indices[:, i])
        return user

    def _embed_time(self, timelines: Timelines, positions: tf.Tensor) -> tf.Tensor:
        """Embeds the time of the last event before each position: `[n, time_dim]`."""
        boundaries = tf.constant(self._time_boundaries, tf.int64)
        row, position = positions[:, 0], positions[:, 1]
        last = tf.stack([row, tf.maximum(position - 1, 0)], axis=1)
        time = tf.gather_nd(timelines.timestamps, last)
        bucket = tf.searchsorted(boundaries, time, side="right")
        unknown = len(self._time_boundaries) + 1
        return tf.gather(self.time, tf.where(position > 0, bucket, unknown))
