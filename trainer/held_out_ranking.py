"""The function `evaluate`: ranks the held-out movies of eval rows."""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf

from trainer import features as f
from trainer.blocks import in_blocks, rows_per_block
from trainer.catalogue import Catalogue
from trainer.genre_balance import genre_divergence, genre_diversity
from trainer.popularity import PopularityRanking
from trainer.preprocessing import TransformGraph
from trainer.query_encoder import QueryEncoder
from trainer.ranking import PADDING, rank_in_blocks
from trainer.retrieval_index import RetrievalIndex
from trainer.serving_contract import DEFAULT_K
from trainer.trained_events import TrainedEvents
from trainer.user_store import EventLists

# The features of an eval row that a model may see. What queries are sliced by is not
# among them: it reveals the held-out movies.
EVALUATED_FEATURES: Final = (
    f.USER_ID,
    f.AGE,
    f.GENDER,
    f.OCCUPATION,
    f.MOVIE_IDS,
    f.RATINGS,
    f.TIMESTAMPS,
    f.SEEN_MOVIE_IDS,
    f.HELD_OUT_MOVIE_IDS,
)


class HeldOutRanking(tf.Module):
    """Ranks held-out movies among the whole corpus.

    Args:
      encoder: Embeds the queries.
      index: The embedded corpus.
      catalogue: The texts of the same movies.
      transform: The Transform graph.
      raw_spec: Parsing specification of raw rows.
      popularity: The baseline that every model must beat.
      trained_events: Events that must not be among the held-out ones.
      top_k: Length of the top lists.
      exclude_seen: Whether seen movies are taken out of the candidates.
    """

    def __init__(
        self,
        encoder: QueryEncoder,
        index: RetrievalIndex,
        catalogue: Catalogue,
        transform: TransformGraph,
        *,
        raw_spec: dict[str, Any],
        popularity: PopularityRanking,
        trained_events: TrainedEvents,
        top_k: int,
        exclude_seen: bool,
    ) -> None:
        super().__init__(name="held_out_ranking")
        self._encoder = encoder
        self._index, self._catalogue = index, catalogue
        self._transform = transform
        self._raw_spec = {name: raw_spec[name] for name in EVALUATED_FEATURES}
        self._popularity, self._trained_events = popularity, trained_events
        self._top_k = top_k
        self._exclude_seen = exclude_seen

    def __call__(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Ranks by the rows alone; the stored timelines hold the held-out events.

        Args:
          examples: string `[batch]`, serialized rows of the eval split.

        Returns:
          `rank` and `popularity_rank`, see `trainer.ranking`; `trained_on`, 1 where the
          model was trained on the held-out event; `top_ids`, corpus rows;
          `top_self_information`, in bits; `genre_diversity` and `genre_divergence` of
          each beginning of that list, see `trainer.genre_balance`; `corpus_size`; and
          `index_recall`, see `index_recall`. Types and shapes are in
          `trainer.serving_contract.EVALUATE`.
        """
        raw = tf.io.parse_example(examples, self._raw_spec)
        row = self._transform(raw)
        query = self._encoder(
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
        ranking = rank_in_blocks(
            self._index.scores,
            query,
            seen,
            held_out,
            num_candidates=self._index.num_movies,
            top_k=self._top_k,
            exclude_seen=self._exclude_seen,
        )
        genres = self._catalogue.genre_weights
        held_out_ids = raw[f.HELD_OUT_MOVIE_IDS].to_tensor("")
        return {
            "rank": ranking.rank,
            "popularity_rank": self._popularity.rank(
                seen, held_out, self._exclude_seen
            ),
            "trained_on": self._trained_events.contains(raw[f.USER_ID], held_out_ids),
            "top_ids": ranking.top_ids,
            "top_self_information": self._catalogue.self_information(ranking.top_ids),
            "genre_diversity": genre_diversity(genres, ranking.top_ids),
            "genre_divergence": genre_divergence(
                genres, tf.cast(row[f.MOVIE_INDICES], tf.int32), ranking.top_ids
            ),
            "corpus_size": tf.fill([tf.size(examples), 1], self._index.num_movies),
            "index_recall": index_recall(
                self._index,
                query,
                seen if self._exclude_seen else seen[:, :0],
                ranking.top_ids,
            ),
        }


def index_recall(
    index: RetrievalIndex, query: tf.Tensor, seen: tf.Tensor, top_ids: tf.Tensor
) -> tf.Tensor:
    """Returns which share of the exact top lists an index finds.

    It is the smaller of the shares of the first `DEFAULT_K` movies and of all: how many
    movies are asked for decides which rows `ivf` searches exactly, so that with few
    probes a long list is found, and a short one, as most callers ask for, is not.

    Args:
      index: The index.
      query: float32 `[batch, dim]`.
      seen: integer `[batch, seen]`, corpus rows that are no candidates, or `PADDING`.
      top_ids: int32 `[batch, top_k]`, the exact lists, `PADDING` behind their ends.

    Returns:
      float32 `[batch, 1]`; 1 where the list is empty, and for every row of an index
      that is exact.
    """
    if index.is_exact:
        return tf.ones([tf.shape(query)[0], 1])
    excluded = tf.cast(seen, tf.int32)
    first = _share_found(index, query, excluded, top_ids[:, :DEFAULT_K])
    return tf.minimum(first, _share_found(index, query, excluded, top_ids))


def _share_found(
    index: RetrievalIndex, query: tf.Tensor, excluded: tf.Tensor, top_ids: tf.Tensor
) -> tf.Tensor:
    """float32 `[batch, 1]`: see `index_recall`."""
    width = tf.minimum(tf.shape(top_ids)[1], index.num_movies)

    def count(rows: slice) -> list[tf.Tensor]:
        scores, found = index.best(query[rows], excluded[rows], width)
        found = tf.where(scores > -float("inf"), found, index.num_movies)
        is_found = top_ids[rows][:, :, tf.newaxis] == found[:, tf.newaxis, :]
        hits = tf.reduce_sum(tf.cast(is_found, tf.float32), [1, 2])
        return [hits[:, tf.newaxis]]

    block = rows_per_block(index.bytes_per_query)
    (hits,) = in_blocks(count, tf.shape(query)[0], block, [(tf.float32, 1)])
    listed = tf.cast(top_ids != PADDING, tf.float32)
    listed = tf.reduce_sum(listed, axis=1, keepdims=True)
    return tf.where(listed > 0, hits / tf.maximum(listed, 1), 1.0)
