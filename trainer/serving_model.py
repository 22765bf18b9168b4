"""The served model: raw ids in, movies out, with TensorFlow alone.

It holds all that it needs: both towers' variables, the Transform graph, the embedded
corpus and the users' timelines. Loading it needs neither Keras nor this package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import tensorflow as tf

from trainer import features as f
from trainer import serving_contract as contract
from trainer.blocks import in_blocks, rows_per_block
from trainer.catalogue import Catalogue
from trainer.config import RequestLimits
from trainer.held_out_ranking import HeldOutRanking
from trainer.preprocessing import TransformGraph
from trainer.query_encoder import QueryEncoder
from trainer.ranking import PADDING
from trainer.request_checks import RequestChecks, in_order
from trainer.retrieval_index import RetrievalIndex
from trainer.user_store import EventLists, TimelineLookup

# What an event of the request takes.
_BYTES_PER_EVENT: Final = 64


class ServingModel(tf.Module):
    """The functions behind the signatures of `trainer.serving_contract`.

    Args:
      encoder: Embeds queries.
      index: The embedded corpus.
      catalogue: The texts of the same movies.
      store: The users' timelines.
      transform: The Transform graph.
      held_out_ranking: The function of `evaluate`.
      limits: The largest request that is answered.

    Attributes:
      max_k: Most movies that a row of a request may ask for.
      evaluate: `trainer.serving_contract.EVALUATE`, which a server cannot call: it is
        part of the SavedModel, but has no signature.
    """

    def __init__(
        self,
        encoder: QueryEncoder,
        index: RetrievalIndex,
        catalogue: Catalogue,
        store: TimelineLookup,
        transform: TransformGraph,
        *,
        held_out_ranking: HeldOutRanking,
        limits: RequestLimits,
    ) -> None:
        super().__init__(name="two_tower")
        self._encoder = encoder
        self._index, self._catalogue = index, catalogue
        self._store = store
        self._transform = transform
        self._held_out_ranking = held_out_ranking
        self._checks = RequestChecks(limits, index.num_movies)
        self.max_k = self._checks.max_k
        self.evaluate = _traced(contract.EVALUATE, held_out_ranking.__call__)

    def signatures(self) -> dict[str, Any]:
        """Returns the concrete functions of all signatures by name."""
        functions = (
            (contract.SERVING_DEFAULT, self.recommend),
            (contract.RECOMMEND_FROM_HISTORY, self.recommend_from_history),
            (contract.QUERY_EMBEDDING, self.query_embedding),
            (contract.CANDIDATE_EMBEDDING, self.candidate_embedding),
            (contract.KNOWN_USER, self.known_user),
            (contract.KNOWN_MOVIE, self.known_movie),
        )
        return {
            signature.name: _traced(signature, function).get_concrete_function()
            for signature, function in functions
        }

    def recommend(self, user_id: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Recommends to users by their stored timelines.

        All unknown users are the same user, who has watched nothing.

        Args:
          user_id: string `[batch]`.
          k: int32 `[batch]`, from 1 to `serving.max_k` and the size of the corpus.

        Returns:
          See `Catalogue.describe`.
        """
        user_id = self._checks.ids(f.USER_ID, user_id)
        k = self._checks.k(k, user_id)
        row = self._store.row(user_id)

        def stored(rows: slice) -> tuple[tf.Tensor, EventLists, tf.RaggedTensor]:
            some = row[rows]
            return some, self._store.timelines(some), self._store.seen(some)

        return self._recommend(k, stored)

    def recommend_from_history(
        self,
        user_id: tf.Tensor,
        movie_ids: tf.Tensor,
        ratings: tf.Tensor,
        timestamps: tf.Tensor,
        k: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Recommends by timelines of the request, which replace the stored ones.

        Their movies are not recommended. What the store says that a user has seen does
        not count: with many requests its absence would reveal the user's whole history.

        Args:
          user_id: string `[batch]`, "" for nobody in particular.
          movie_ids: string `[batch, L]`, in any order, "" where there is no event.
          ratings: float32 `[batch, L]`, stars.
          timestamps: int64 `[batch, L]`, seconds since the epoch, UTC.
          k: int32 `[batch]`, see `recommend`.

        Returns:
          See `Catalogue.describe`.
        """
        user_id = self._checks.ids(f.USER_ID, user_id)
        k = self._checks.k(k, user_id)
        events = self._checks.events(movie_ids, ratings, timestamps, user_id)
        row = self._store.row(user_id)

        def given(rows: slice) -> tuple[tf.Tensor, EventLists, tf.RaggedTensor]:
            ordered = in_order(*(column[rows] for column in events))
            raw = {f.USER_ID: user_id[rows], f.MOVIE_IDS: ordered.movies}
            movies = tf.cast(self._transform(raw)[f.MOVIE_INDICES], tf.int32)
            return row[rows], ordered._replace(movies=movies), movies

        return self._recommend(k, given, num_events=tf.shape(movie_ids)[1])

    def query_embedding(self, user_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Embeds users by their stored timelines."""
        row = self._store.row(self._checks.ids(f.USER_ID, user_id))
        (embedding,) = in_blocks(
            lambda rows: [self._query(row[rows], self._store.timelines(row[rows]))],
            tf.size(row),
            rows_per_block(self._encoder.bytes_per_query),
            [(tf.float32, self._index.embeddings.shape[1])],
        )
        return {"embedding": embedding}

    def candidate_embedding(self, movie_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Embeds movies; the score is the dot product with `query_embedding`."""
        index = self._movie_index(self._checks.ids(f.MOVIE_ID, movie_id))
        return {"embedding": self._index.embeddings_of(index)}

    def known_user(self, user_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns which users have a stored timeline."""
        user_id = self._checks.ids(f.USER_ID, user_id)
        return {"known": self._store.row(user_id) < self._store.num_users}

    def known_movie(self, movie_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns which movies are in the corpus."""
        index = self._movie_index(self._checks.ids(f.MOVIE_ID, movie_id))
        return {"known": index < self._index.num_movies}

    def _movie_index(self, movie_id: tf.Tensor) -> tf.Tensor:
        return self._transform({f.MOVIE_ID: movie_id})[f.MOVIE_INDEX]

    def _query(self, row: tf.Tensor, timelines: EventLists) -> tf.Tensor:
        """Embeds stored users with the given timelines: `[batch, dim]`."""
        return self._encoder(
            tf.gather(self._store.user_index, row),
            tf.gather(self._store.attribute_indices, row),
            timelines,
        )

    def _recommend(
        self,
        k: tf.Tensor,
        timelines: Callable[[slice], tuple[tf.Tensor, EventLists, tf.RaggedTensor]],
        num_events: tf.Tensor | int = 0,
    ) -> dict[str, tf.Tensor]:
        """Recommends, a block of rows at a time.

        Args:
          k: int32 `[batch]`.
          timelines: Returns for some rows the stored users, their timelines, and the
            movies not to recommend.
          num_events: Events of a row of the request.
        """
        width = tf.maximum(tf.reduce_max(k), 0)  # an empty batch has no maximum

        def best(rows: slice) -> tuple[tf.Tensor, tf.Tensor]:
            row, events, seen = timelines(rows)
            query = self._query(row, events)
            return self._index.best(query, seen.to_tensor(PADDING), width)

        bytes_per_row = (
            self._encoder.bytes_per_query
            + self._index.bytes_per_query
            + _BYTES_PER_EVENT * num_events
        )
        scores, index = in_blocks(
            best,
            tf.size(k),
            rows_per_block(bytes_per_row),
            [(tf.float32, width), (tf.int32, width)],
        )
        return self._catalogue.describe(scores, index, k)


def _traced(signature: contract.Signature, function: Callable[..., Any]) -> Any:
    """Returns the function, traced once for the types of its signature.

    It is traced without AutoGraph, which nothing here needs: it would rewrite the
    source of Keras and TFT for each signature, for 15 seconds in all.
    """
    traced = tf.function(
        function, input_signature=signature.input_specs(), autograph=False
    )
    traced.get_concrete_function()
    return traced
