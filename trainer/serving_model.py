"""The served model: raw ids in, movies out, with TensorFlow alone.

It holds all that it needs: both towers' variables, the Transform graph, the embedded
corpus and the users' timelines. Loading it needs neither Keras nor this package.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from trainer import features as f
from trainer.input_pipeline import PADDING
from trainer.model import TwoTowerModel, embed_events
from trainer.popularity import PopularityRanking
from trainer.ranking import Queries, rank_in_blocks
from trainer.retrieval_index import BruteForceIndex
from trainer.towers import Timelines
from trainer.trained_events import TrainedEvents
from trainer.transform_graph import TransformGraph
from trainer.user_store import EventLists, TimelineLookup

_USER_IDS = tf.TensorSpec([None], tf.string, f.USER_ID)
_MOVIE_IDS = tf.TensorSpec([None], tf.string, f.MOVIE_ID)
_K = tf.TensorSpec([], tf.int32, "k")


def _signature(*inputs: tf.TensorSpec) -> Any:
    """Makes a method a signature.

    Without AutoGraph, which nothing here needs: it would rewrite the source of Keras
    and TFT for each of them, for 15 seconds in all.
    """
    return tf.function(input_signature=inputs, autograph=False)


class Judgement(NamedTuple):
    """What `evaluate` compares the model with.

    Attributes:
      popularity: The baseline that every model must beat.
      trained_events: What must not be among the held-out events.
    """

    popularity: PopularityRanking
    trained_events: TrainedEvents


class ServingOptions(NamedTuple):
    """What is fixed when a model is exported.

    Attributes:
      max_history: Events of a timeline that the query tower reads, the newest ones.
      top_k: Length of the top lists of `evaluate`.
      exclude_seen: Whether `evaluate` takes seen movies out of the candidates.
    """

    max_history: int
    top_k: int
    exclude_seen: bool


class ServingModel(tf.Module):
    """Signatures around a trained model. See `signatures` for the list.

    Args:
      model: The trained towers.
      index: The embedded corpus.
      store: The users' timelines.
      judgement: What `evaluate` needs besides.
      transform: The Transform graph.
      raw_spec: Parsing specification of raw rows.
      options: Sizes that are fixed when the model is exported.
    """

    def __init__(
        self,
        model: TwoTowerModel,
        index: BruteForceIndex,
        store: TimelineLookup,
        judgement: Judgement,
        transform: TransformGraph,
        *,
        raw_spec: dict[str, Any],
        options: ServingOptions,
    ) -> None:
        """See the class docstring."""
        super().__init__(name="two_tower")
        self._query_tower = model.query_tower
        self._embedding_dim = model.embedding_dim
        # Keras tracks its variables by its own means; SavedModel needs a tf attribute.
        self._towers = [variable.value for variable in model.variables]
        self._index = index
        self._store = store
        self._popularity, self._trained_events = judgement
        self._transform = transform
        self._raw_spec = raw_spec
        self._options = options

    def signatures(self) -> dict[str, Any]:
        """Returns the signatures of the SavedModel by name."""
        functions = {
            "serving_default": self.recommend,
            "recommend_from_history": self.recommend_from_history,
            "evaluate": self.evaluate,
            "query_embedding": self.query_embedding,
            "candidate_embedding": self.candidate_embedding,
            "known_user": self.known_user,
            "known_movie": self.known_movie,
        }
        return {name: fn.get_concrete_function() for name, fn in functions.items()}

    @_signature(_USER_IDS, _K)
    def recommend(self, user_id: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """Recommends to users by their stored timelines.

        Args:
          user_id: string `[batch]`; all unknown users are the same user, who has
            watched nothing.
          k: int32 scalar, from 1 to the size of the corpus.

        Returns:
          `movie_ids`, `titles`, `genres` (string) and `scores` (float32), each
          `[batch, k]`, best first and without movies of the timeline. Where fewer than
          `k` are left, empty strings and minus infinity close the row.
        """
        row = self._store.row(user_id)
        timelines = self._store.timelines(row)
        query = self._query(row, timelines)
        return self._index.top(query, timelines.movies.to_tensor(PADDING), k)

    @_signature(
        _USER_IDS,
        tf.TensorSpec([None, None], tf.string, f.MOVIE_IDS),
        tf.TensorSpec([None, None], tf.float32, f.RATINGS),
        tf.TensorSpec([None, None], tf.int64, f.TIMESTAMPS),
        _K,
    )
    def recommend_from_history(
        self,
        user_id: tf.Tensor,
        movie_ids: tf.Tensor,
        ratings: tf.Tensor,
        timestamps: tf.Tensor,
        k: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Recommends by a timeline that comes with the request.

        Args:
          user_id: string `[batch]`, "" for nobody in particular.
          movie_ids: string `[batch, L]`, oldest first, "" behind the last event.
          ratings: float32 `[batch, L]`, stars.
          timestamps: int64 `[batch, L]`, seconds since the epoch, UTC.
          k: int32 scalar, from 1 to the size of the corpus.

        Returns:
          As `recommend`; the request's timeline takes the place of the stored one.
        """
        ids = tf.RaggedTensor.from_tensor(movie_ids, padding="")
        raw = {f.USER_ID: user_id, f.MOVIE_IDS: ids}
        # Cut to the events that there are, like the ids.
        lengths = ids.row_lengths()
        timelines = EventLists(
            tf.cast(self._transform(raw)[f.MOVIE_INDICES], tf.int32),
            tf.RaggedTensor.from_tensor(ratings, lengths=lengths),
            tf.RaggedTensor.from_tensor(timestamps, lengths=lengths),
        )
        query = self._query(self._store.row(user_id), timelines)
        return self._index.top(query, timelines.movies.to_tensor(PADDING), k)

    @_signature(tf.TensorSpec([None], tf.string, "examples"))
    def evaluate(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Ranks what was held out, for TFMA.

        Only the row itself is read, never the stored timelines, which hold the answers.

        Args:
          examples: string `[batch]`, serialized rows of the eval split.

        Returns:
          `rank` and `popularity_rank`, int32 `[batch, held_out]` (see
          `trainer.ranking`), `trained_on`, int32 `[batch, held_out]` (1 where the
          model was trained on that event), `top_ids`, int32 `[batch, top_k]` corpus
          rows, `top_self_information`, float32 `[batch, top_k]` in bits, and
          `corpus_size`, int32 `[batch, 1]`.
        """
        raw = tf.io.parse_example(examples, self._raw_spec)
        row = self._transform(raw)
        query = self._embed(
            tf.cast(row[f.USER_INDEX], tf.int32),
            tf.cast(row[f.USER_ATTRIBUTE_INDICES], tf.int32),
            EventLists(
                tf.cast(row[f.MOVIE_INDICES], tf.int32),
                raw[f.RATINGS],
                raw[f.TIMESTAMPS],
            ),
        )
        seen, held_out = (
            row[name].to_tensor(PADDING)
            for name in (f.SEEN_MOVIE_INDICES, f.HELD_OUT_MOVIE_INDICES)
        )
        exclude_seen = self._options.exclude_seen
        ranking = rank_in_blocks(
            self._index.scores,
            Queries(query, seen, held_out),
            self._index.num_movies,
            self._options.top_k,
            exclude_seen,
        )
        held_out_ids = raw[f.HELD_OUT_MOVIE_IDS].to_tensor("")
        return {
            "rank": ranking.rank,
            "popularity_rank": self._popularity.rank(seen, held_out, exclude_seen),
            "trained_on": self._trained_events.contains(raw[f.USER_ID], held_out_ids),
            "top_ids": ranking.top_ids,
            "top_self_information": self._index.self_information(ranking.top_ids),
            "corpus_size": tf.fill([tf.size(examples), 1], self._index.num_movies),
        }

    @_signature(_USER_IDS)
    def query_embedding(self, user_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Embeds users by their stored timelines: `embedding [batch, dim]`."""
        row = self._store.row(user_id)
        return {"embedding": self._query(row, self._store.timelines(row))}

    @_signature(_MOVIE_IDS)
    def candidate_embedding(self, movie_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Embeds movies, bias included: `embedding [batch, dim]`.

        The score of a movie is the dot product with `query_embedding`.
        """
        index = self._transform({f.MOVIE_ID: movie_id})[f.MOVIE_INDEX]
        return {"embedding": tf.gather(self._index.embeddings, index)}

    @_signature(_USER_IDS)
    def known_user(self, user_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Tells which users have a stored timeline: `known`, bool `[batch]`."""
        return {"known": self._store.row(user_id) < self._store.num_users}

    @_signature(_MOVIE_IDS)
    def known_movie(self, movie_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Tells which movies are in the corpus: `known`, bool `[batch]`."""
        index = self._transform({f.MOVIE_ID: movie_id})[f.MOVIE_INDEX]
        return {"known": index < self._index.num_movies}

    def _query(self, row: tf.Tensor, timelines: EventLists) -> tf.Tensor:
        """Embeds stored users with the given timelines: `[batch, dim]`."""
        return self._embed(
            tf.gather(self._store.user_index, row),
            tf.gather(self._store.attribute_indices, row),
            timelines,
        )

    def _embed(
        self, user_index: tf.Tensor, attributes: tf.Tensor, timelines: EventLists
    ) -> tf.Tensor:
        """Embeds queries at the end of their timelines: `[batch, dim]`."""
        length = self._options.max_history
        movies, ratings, timestamps = (
            column[:, -length:].to_tensor(PADDING, shape=[None, length])
            for column in timelines
        )
        end = tf.reduce_sum(tf.cast(movies != PADDING, tf.int32), axis=1)
        query: tf.Tensor = self._query_tower(
            Timelines(
                user_index,
                attributes,
                embed_events(self._index.embeddings, movies, self._embedding_dim),
                ratings,
                timestamps,
            ),
            tf.stack([tf.range(tf.size(end)), end], axis=1),
        )
        return tf.cast(query, tf.float32)
