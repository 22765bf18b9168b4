"""The served model: raw ids in, movies out, with TensorFlow alone.

It holds all that it needs: both towers' variables, the Transform graph, the embedded
corpus and the users' timelines. Loading it needs neither Keras nor this package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import tensorflow as tf

from trainer import features as f
from trainer import request_examples
from trainer import serving_contract as contract
from trainer.blocks import in_blocks, rows_per_block
from trainer.catalogue import Catalogue
from trainer.config import RequestLimits
from trainer.diversity import Diversity
from trainer.held_out_ranking import HeldOutRanking
from trainer.preprocessing import TransformGraph
from trainer.query_encoder import QueryEncoder
from trainer.ranking import PADDING
from trainer.request_checks import RequestChecks
from trainer.request_events import Events
from trainer.request_filters import filters_of
from trainer.retrieval_index import Filters, RetrievalIndex
from trainer.shared_graph import traced_once
from trainer.similar_movies import SimilarMovies
from trainer.user_store import EventLists, TimelineLookup

# What an event or an excluded movie of the request takes in memory.
_BYTES_PER_EVENT: Final = 192

Inputs = dict[str, tf.Tensor]
Outputs = dict[str, tf.Tensor]


class Asked(NamedTuple):
    """What some rows of a request ask.

    Attributes:
      user_index: int32 `[rows]`, vocabulary indices.
      attributes: int32 `[rows, attributes]`.
      timelines: Events of each user.
      excluded: int32 `[rows, excluded]`, corpus rows or `PADDING`.
      filters: What may be recommended; None for everything.
      diversity: float32 `[rows]`, see `Diversity`; None where nobody asks for it.
    """

    user_index: tf.Tensor
    attributes: tf.Tensor
    timelines: EventLists
    excluded: tf.Tensor
    filters: Filters | None = None
    diversity: tf.Tensor | None = None


class ServingModel(tf.Module):
    """The functions behind the signatures of `trainer.serving_contract`.

    Each takes the inputs of its signature by name and returns the outputs.

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
        part of the SavedModel, but has no signature. So are the next ones.
      catalogue: `trainer.serving_contract.CATALOGUE`.
      stored_users: `trainer.serving_contract.STORED_USERS`.
      stored_timelines: `trainer.serving_contract.STORED_TIMELINES`.
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
        self._similar = SimilarMovies(index)
        self._diversity = Diversity(index)
        self._store = store
        self._transform = transform
        self._held_out_ranking = held_out_ranking
        self._index_of = traced_once(
            lambda ids: transform({f.MOVIE_ID: ids})[f.MOVIE_INDEX],
            tf.TensorSpec([None], tf.string),
        )
        self._describe = traced_once(
            catalogue.describe,
            tf.TensorSpec([None, None], tf.float32),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None], tf.int32),
        )
        self._checks = RequestChecks(limits, index.num_movies)
        self.max_k = self._checks.max_k
        self.evaluate = _exported(
            contract.EVALUATE, lambda inputs: held_out_ranking(inputs["examples"])
        )
        self.catalogue = _exported(contract.CATALOGUE, lambda _: catalogue.columns())
        self.stored_users = _exported(
            contract.STORED_USERS, lambda _: {f.USER_ID: store.user_ids()}
        )
        self.stored_timelines = _exported(
            contract.STORED_TIMELINES, self._stored_timelines
        )

    def signatures(self) -> dict[str, Any]:
        """Returns the concrete functions of all signatures by name."""
        functions: tuple[
            tuple[contract.Signature, Callable[[Inputs], Outputs]], ...
        ] = (
            (contract.SERVING_DEFAULT, self.serving_default),
            (contract.RECOMMEND_FROM_HISTORY, self.recommend_from_history),
            (contract.SIMILAR_MOVIES, self.similar_movies),
            (contract.QUERY_EMBEDDING, self.query_embedding),
            (contract.CANDIDATE_EMBEDDING, self.candidate_embedding),
            (contract.KNOWN_USER, self.known_user),
            (contract.KNOWN_MOVIE, self.known_movie),
        )
        traced = {
            signature.name: graph_of(signature, self._checked(signature, function))
            for signature, function in functions
        }
        recommend = graph_of(
            contract.RECOMMEND, self._checked(contract.RECOMMEND, self.recommend)
        )
        by_examples = graph_of(
            contract.RECOMMEND_EXAMPLES,
            self._checked(
                contract.RECOMMEND_EXAMPLES,
                lambda inputs: self.recommend_examples(inputs, recommend),
            ),
        )
        return traced | {
            contract.RECOMMEND.name: recommend,
            contract.RECOMMEND_EXAMPLES.name: by_examples,
        }

    def serving_default(self, inputs: Inputs) -> Outputs:
        """Recommends to users by their stored timelines.

        All unknown users are the same user, who has watched nothing.
        """
        row = self._store.row(inputs[f.USER_ID])

        def stored(rows: slice) -> Asked:
            some = row[rows]
            return Asked(
                *self._user(some),
                self._store.timelines(some),
                self._store.seen(some).to_tensor(PADDING),
            )

        return self._recommend(inputs["k"], stored)

    def recommend(self, inputs: Inputs) -> Outputs:
        """Recommends by the stored timelines and the events of the request after them.

        Neither what a user has seen by the store nor the movies of the request are
        recommended, unless `include_seen`; the excluded ones never are.
        """
        row = self._store.row(inputs[f.USER_ID])
        filters = filters_of(inputs)

        def continued(rows: slice) -> Asked:
            some = row[rows]
            events, excluded = self._movies(inputs, rows)
            seen = self._store.seen(some).to_tensor(PADDING)
            seen = tf.concat([seen, events.movies], axis=1)
            again = inputs[contract.INCLUDE_SEEN][rows, tf.newaxis]
            return Asked(
                *self._user(some),
                Events.stored(self._store.timelines(some))
                .followed_by(events)
                .timelines(),
                tf.concat([tf.where(again, PADDING, seen), excluded], axis=1),
                Filters(*(each[rows] for each in filters)),
                inputs[contract.DIVERSITY][rows],
            )

        return self._recommend(inputs["k"], continued, self._bytes_per_row(inputs))

    def recommend_from_history(self, inputs: Inputs) -> Outputs:
        """Recommends by timelines of the request, which replace the stored ones.

        Their movies are not recommended. What the store says that a user has seen does
        not count: with many requests its absence would reveal the user's whole history.
        """
        row = self._store.row(inputs[f.USER_ID])
        filters = filters_of(inputs)
        attributes = self._transform(
            {name: inputs[name] for name in (f.AGE, f.GENDER, f.OCCUPATION)}
        )[f.USER_ATTRIBUTE_INDICES]
        attributes = self._store.known_attributes(tf.cast(attributes, tf.int32))

        def given(rows: slice) -> Asked:
            user_index, stored = self._user(row[rows])
            of_request = attributes[rows]
            events, excluded = self._movies(inputs, rows)
            return Asked(
                user_index,
                tf.where(of_request > 0, of_request, stored),
                events.timelines(),
                tf.concat([events.movies, excluded], axis=1),
                Filters(*(each[rows] for each in filters)),
                inputs[contract.DIVERSITY][rows],
            )

        return self._recommend(inputs["k"], given, self._bytes_per_row(inputs))

    def recommend_examples(
        self, inputs: Inputs, recommend: Callable[..., Outputs]
    ) -> Outputs:
        """Recommends like `recommend`, to one user for each serialized example.

        Args:
          inputs: The examples.
          recommend: The function of `trainer.serving_contract.RECOMMEND`.
        """
        return recommend(**request_examples.parse(inputs["examples"], self._checks))

    def similar_movies(self, inputs: Inputs) -> Outputs:
        """Returns the movies that the model embeds like each movie."""
        movie, k = self._movie_index(inputs[f.MOVIE_ID]), inputs["k"]
        return self._best(
            k,
            lambda rows, width: self._similar(movie[rows], width),
            self._similar.bytes_per_movie,
        )

    def query_embedding(self, inputs: Inputs) -> Outputs:
        """Embeds users by their stored timelines."""
        row = self._store.row(inputs[f.USER_ID])
        (embedding,) = in_blocks(
            lambda rows: [
                self._encoder(*self._user(row[rows]), self._store.timelines(row[rows]))
            ],
            tf.size(row),
            rows_per_block(self._encoder.bytes_per_query),
            [(tf.float32, self._index.dim)],
        )
        return {"embedding": embedding}

    def candidate_embedding(self, inputs: Inputs) -> Outputs:
        """Embeds movies; the score is the dot product with `query_embedding`."""
        index = self._movie_index(inputs[f.MOVIE_ID])
        return {"embedding": self._index.embeddings_of(index)}

    def known_user(self, inputs: Inputs) -> Outputs:
        """Returns which users have a stored timeline."""
        return {"known": self._store.row(inputs[f.USER_ID]) < self._store.num_users}

    def known_movie(self, inputs: Inputs) -> Outputs:
        """Returns which movies are in the corpus."""
        index = self._movie_index(inputs[f.MOVIE_ID])
        return {"known": index < self._index.num_movies}

    def _stored_timelines(self, inputs: Inputs) -> Outputs:
        user_id = tf.ensure_shape(inputs[f.USER_ID], [None])
        movies, ratings, timestamps = self._store.timelines(self._store.row(user_id))
        return {
            f.MOVIE_IDS: self._catalogue.ids(movies).to_tensor(""),
            f.RATINGS: ratings.to_tensor(),
            f.TIMESTAMPS: timestamps.to_tensor(),
        }

    def _checked(
        self, signature: contract.Signature, function: Callable[[Inputs], Outputs]
    ) -> Callable[[Inputs], Outputs]:
        return lambda inputs: function(self._checks(signature, inputs))

    def _movie_index(self, movie_id: tf.Tensor) -> tf.Tensor:
        """Returns int32 of the same shape, `num_movies` for unknown movies."""
        index = self._index_of(tf.reshape(movie_id, [-1]))
        return tf.reshape(tf.cast(index, tf.int32), tf.shape(movie_id))

    def _movies(self, inputs: Inputs, rows: slice) -> tuple[Events, tf.Tensor]:
        """Returns the events of some rows, in any order, and the excluded movies."""
        movie_ids, excluded, ratings, timestamps = (
            inputs[name][rows]
            for name in (f.MOVIE_IDS, contract.EXCLUDED, f.RATINGS, f.TIMESTAMPS)
        )
        ids, length = tf.concat([movie_ids, excluded], axis=1), tf.shape(movie_ids)[1]
        movies = tf.where(tf.equal(ids, ""), PADDING, self._movie_index(ids))
        events = Events.of_request(
            *(movie_ids, movies[:, :length], ratings, timestamps),
            self._index.num_movies,
        )
        return events, movies[:, length:]

    def _user(self, row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns vocabulary indices and attributes of rows of the store."""
        store = self._store
        return tf.gather(store.user_index, row), tf.gather(store.attribute_indices, row)

    def _recommend(
        self,
        k: tf.Tensor,
        asked: Callable[[slice], Asked],
        bytes_per_row: tf.Tensor | int = 0,
    ) -> Outputs:
        """Recommends, a block of rows at a time.

        Args:
          k: int32 `[batch]`.
          asked: Returns what some rows ask.
          bytes_per_row: What a row takes in memory beside query and search.
        """

        def best(rows: slice, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            some = asked(rows)
            query = self._encoder(some.user_index, some.attributes, some.timelines)

            def search(width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                return self._index.best(query, some.excluded, width, some.filters)

            if some.diversity is None:
                return search(width)
            return self._diversity(some.diversity, width, search)

        fixed = self._encoder.bytes_per_query + self._index.bytes_per_query
        return self._best(k, best, fixed + bytes_per_row)

    def _best(
        self,
        k: tf.Tensor,
        best: Callable[[slice, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
        bytes_per_row: tf.Tensor | int,
    ) -> Outputs:
        """Describes the best movies of all rows, see `Catalogue.describe`.

        Args:
          k: int32 `[batch]`.
          best: Returns scores and corpus rows, `[rows, width]`, for some rows.
          bytes_per_row: What a row takes in memory.
        """
        width = tf.maximum(tf.reduce_max(k), 0)  # an empty batch has no maximum
        scores, index = in_blocks(
            lambda rows: best(rows, width),
            tf.size(k),
            rows_per_block(bytes_per_row),
            [(tf.float32, width), (tf.int32, width)],
        )
        described: Outputs = self._describe(scores, index, k)
        return described

    def _bytes_per_row(self, inputs: Inputs) -> tf.Tensor:
        """Returns what lists and re-ranking of a row take in memory: int64 scalar."""
        lists = (inputs[name] for name in (f.MOVIE_IDS, contract.EXCLUDED))
        events = sum(tf.shape(each, tf.int64)[1] for each in lists)
        is_diverse = tf.reduce_any(inputs[contract.DIVERSITY] > 0)
        again = tf.where(is_diverse, self._diversity.bytes_per_query, 0)
        return _BYTES_PER_EVENT * events + tf.cast(again, tf.int64)


def graph_of(
    signature: contract.Signature, function: Callable[[Inputs], Outputs]
) -> Any:
    """Traces a function of named inputs as one of tensors, for their types."""

    def of_tensors(*tensors: tf.Tensor) -> Outputs:
        return function(dict(zip(signature.inputs, tensors, strict=True)))

    # Without AutoGraph: see `trainer.shared_graph.traced_once`.
    traced = tf.function(of_tensors, autograph=False)
    return traced.get_concrete_function(*signature.input_specs())


def _exported(
    signature: contract.Signature, function: Callable[[Inputs], Outputs]
) -> Any:
    """Returns a function of tensors that a SavedModel has beside its signatures.

    A SavedModel traces each such function once more when it is saved: what it traces
    then is only the call of a graph.
    """
    graph = graph_of(signature, function)

    def call(*tensors: tf.Tensor) -> Outputs:
        outputs: Outputs = graph(*tensors)
        return outputs

    called = tf.function(call, autograph=False)
    called.get_concrete_function(*signature.input_specs())
    return called
