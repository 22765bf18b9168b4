"""The served model: raw ids in, movies out, with TensorFlow alone.

It holds all that it needs: both towers' variables, the Transform graph, the embedded
corpus and the users' timelines. Loading it needs neither Keras nor this package.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer import features as f
from trainer import serving_contract as contract
from trainer.held_out_ranking import HeldOutRanking
from trainer.preprocessing import TransformGraph
from trainer.query_encoder import QueryEncoder
from trainer.ranking import PADDING
from trainer.retrieval_index import BruteForceIndex
from trainer.user_store import EventLists, TimelineLookup


class ServingModel(tf.Module):
    """The functions behind the signatures of `trainer.serving_contract`.

    Args:
      encoder: Embeds queries.
      index: The embedded corpus.
      store: The users' timelines.
      transform: The Transform graph.
      held_out_ranking: The function of `evaluate`.
    """

    def __init__(
        self,
        encoder: QueryEncoder,
        index: BruteForceIndex,
        store: TimelineLookup,
        transform: TransformGraph,
        held_out_ranking: HeldOutRanking,
    ) -> None:
        super().__init__(name="two_tower")
        self._encoder = encoder
        self._index = index
        self._store = store
        self._transform = transform
        self._held_out_ranking = held_out_ranking

    def signatures(self) -> dict[str, Any]:
        """Returns the concrete functions of all signatures by name.

        They are traced without AutoGraph, which nothing here needs: it would rewrite
        the source of Keras and TFT for each of them, for 15 seconds in all.
        """
        functions = (
            (contract.SERVING_DEFAULT, self.recommend),
            (contract.RECOMMEND_FROM_HISTORY, self.recommend_from_history),
            (contract.QUERY_EMBEDDING, self.query_embedding),
            (contract.CANDIDATE_EMBEDDING, self.candidate_embedding),
            (contract.KNOWN_USER, self.known_user),
            (contract.KNOWN_MOVIE, self.known_movie),
            (contract.EVALUATE, self._held_out_ranking.__call__),
        )
        return {
            signature.name: tf.function(
                function, input_signature=signature.input_specs(), autograph=False
            ).get_concrete_function()
            for signature, function in functions
        }

    def recommend(self, user_id: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Recommends to users by their stored timelines, see `BruteForceIndex.top`.

        All unknown users are the same user, who has watched nothing.
        """
        row = self._store.row(user_id)
        return self._top(row, self._store.timelines(row), k)

    def recommend_from_history(
        self,
        user_id: tf.Tensor,
        movie_ids: tf.Tensor,
        ratings: tf.Tensor,
        timestamps: tf.Tensor,
        k: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Recommends by timelines of the request, which replace the stored ones.

        Args:
          user_id: string `[batch]`, "" for nobody in particular.
          movie_ids: string `[batch, L]`, oldest first, "" behind the last event.
          ratings: float32 `[batch, L]`, stars.
          timestamps: int64 `[batch, L]`, seconds since the epoch, UTC.
          k: int32 scalar, from 1 to the size of the corpus.

        Returns:
          See `BruteForceIndex.top`.
        """
        ids = tf.RaggedTensor.from_tensor(movie_ids, padding="")
        raw = {f.USER_ID: user_id, f.MOVIE_IDS: ids}
        lengths = ids.row_lengths()
        timelines = EventLists(
            tf.cast(self._transform(raw)[f.MOVIE_INDICES], tf.int32),
            tf.RaggedTensor.from_tensor(ratings, lengths=lengths),
            tf.RaggedTensor.from_tensor(timestamps, lengths=lengths),
        )
        return self._top(self._store.row(user_id), timelines, k)

    def query_embedding(self, user_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Embeds users by their stored timelines."""
        row = self._store.row(user_id)
        return {"embedding": self._query(row, self._store.timelines(row))}

    def candidate_embedding(self, movie_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Embeds movies; the score is the dot product with `query_embedding`."""
        index = self._movie_index(movie_id)
        return {"embedding": tf.gather(self._index.embeddings, index)}

    def known_user(self, user_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns which users have a stored timeline."""
        return {"known": self._store.row(user_id) < self._store.num_users}

    def known_movie(self, movie_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns which movies are in the corpus."""
        return {"known": self._movie_index(movie_id) < self._index.num_movies}

    def _movie_index(self, movie_id: tf.Tensor) -> tf.Tensor:
        return self._transform({f.MOVIE_ID: movie_id})[f.MOVIE_INDEX]

    def _query(self, row: tf.Tensor, timelines: EventLists) -> tf.Tensor:
        """Embeds stored users with the given timelines: `[batch, dim]`."""
        return self._encoder(
            tf.gather(self._store.user_index, row),
            tf.gather(self._store.attribute_indices, row),
            timelines,
        )

    def _top(
        self, row: tf.Tensor, timelines: EventLists, k: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Recommends to stored users with the given timelines."""
        query = self._query(row, timelines)
        return self._index.top(query, timelines.movies.to_tensor(PADDING), k)
