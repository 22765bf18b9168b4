"""The query tower of the served model, applied to whole timelines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import tensorflow as tf

from trainer.model import TwoTowerModel, events_alone
from trainer.ranking import PADDING
from trainer.shared_graph import traced_once
from trainer.towers import Timelines
from trainer.user_store import EventLists

_COPIES: Final = 16  # of the embedded timeline that are in memory at once


class QueryEncoder(tf.Module):
    """Embeds users as they are after the last event of a timeline.

    Args:
      model: The trained towers.
      embeddings_of: Looks up embeddings of movies, `RetrievalIndex.embeddings_of`.
      max_history: Events of a timeline that are read, the newest ones.

    Attributes:
      bytes_per_query: An estimate of what embedding one query takes in memory.
    """

    def __init__(
        self,
        model: TwoTowerModel,
        embeddings_of: Callable[[tf.Tensor], tf.Tensor],
        max_history: int,
    ) -> None:
        super().__init__(name="query_encoder")
        self._tower = model.query_tower
        # SavedModel finds variables in attributes of a tf.Module, not in Keras objects.
        self._variables = [variable.value for variable in model.variables]
        self._embeddings_of = embeddings_of
        self._embedding_dim = model.embedding_dim
        self._max_history = max_history
        # Embedded events, and what a history encoder makes of them.
        self.bytes_per_query = _COPIES * 4 * max_history * model.embedding_dim
        self._embed = traced_once(
            self._embed_lists,
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None], tf.int64),
            *(tf.TensorSpec([None], t) for t in (tf.int32, tf.float32, tf.int64)),
        )

    def __call__(
        self, user_index: tf.Tensor, attributes: tf.Tensor, timelines: EventLists
    ) -> tf.Tensor:
        """Embeds queries.

        Args:
          user_index: int32 `[batch]`, vocabulary indices.
          attributes: int32 `[batch, attributes]`.
          timelines: Events of each user.

        Returns:
          float32 `[batch, dim]`.
        """
        splits = tf.cast(timelines.movies.row_splits, tf.int64)
        values = (column.values for column in timelines)
        query: tf.Tensor = self._embed(user_index, attributes, splits, *values)
        return query

    def _embed_lists(
        self,
        user_index: tf.Tensor,
        attributes: tf.Tensor,
        splits: tf.Tensor,
        *columns: tf.Tensor,
    ) -> tf.Tensor:
        """Does what `__call__` does for the columns of all timelines, by row splits."""
        movies, ratings, timestamps, end = self._newest(columns, splits)
        query: tf.Tensor = self._tower(
            Timelines(
                user_index,
                attributes,
                events_alone(
                    self._embeddings_of(tf.maximum(movies, 0)),
                    movies,
                    self._embedding_dim,
                ),
                ratings,
                timestamps,
            ),
            tf.stack([tf.range(tf.size(end)), end], axis=1),
        )
        return tf.cast(query, tf.float32)

    def _newest(
        self, columns: tuple[tf.Tensor, ...], splits: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """Returns the columns of the newest events as matrices, and their number.

        Returns:
          Three of `[batch, max_history]`, with `PADDING` behind the newest event, and
          int32 `[batch]`.
        """
        # Slices of three ragged tensors would take half the time of a request.
        ends = splits[1:]
        count = tf.minimum(ends - splits[:-1], self._max_history)[:, tf.newaxis]
        column = tf.range(self._max_history, dtype=splits.dtype)
        position = ends[:, tf.newaxis] - count + column
        nowhere = tf.size(columns[0], splits.dtype)
        position = tf.where(column < count, position, nowhere)
        newest = (
            tf.gather(tf.pad(each, [[0, 1]], constant_values=PADDING), position)
            for each in columns
        )
        return (*newest, tf.cast(count[:, 0], tf.int32))
