"""The query tower of the served model, applied to whole timelines."""

from __future__ import annotations

import tensorflow as tf

from trainer.model import TwoTowerModel, embed_events
from trainer.ranking import PADDING
from trainer.towers import Timelines
from trainer.user_store import EventLists


class QueryEncoder(tf.Module):
    """Embeds users as they are after the last event of a timeline.

    Args:
      model: The trained towers.
      candidate_embeddings: float32 `[num_movies + 1, dim]`, the unknown movie last.
      max_history: Events of a timeline that are read, the newest ones.
    """

    def __init__(
        self, model: TwoTowerModel, candidate_embeddings: tf.Variable, max_history: int
    ) -> None:
        super().__init__(name="query_encoder")
        self._tower = model.query_tower
        # SavedModel finds variables in attributes of a tf.Module, not in Keras objects.
        self._variables = [variable.value for variable in model.variables]
        self._candidate_embeddings = candidate_embeddings
        self._embedding_dim = model.embedding_dim
        self._max_history = max_history

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
        length = self._max_history
        movies, ratings, timestamps = (
            column[:, -length:].to_tensor(PADDING, shape=[None, length])
            for column in timelines
        )
        end = tf.reduce_sum(tf.cast(movies != PADDING, tf.int32), axis=1)
        query: tf.Tensor = self._tower(
            Timelines(
                user_index,
                attributes,
                embed_events(self._candidate_embeddings, movies, self._embedding_dim),
                ratings,
                timestamps,
            ),
            tf.stack([tf.range(tf.size(end)), end], axis=1),
        )
        return tf.cast(query, tf.float32)
