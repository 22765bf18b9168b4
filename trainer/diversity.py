"""Re-ranking for diversity: a list whose movies are less like each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import tensorflow as tf

from trainer.retrieval_index import RetrievalIndex
from trainer.shared_graph import traced_once

# The best movies of each row that are re-ranked. It must not follow from the number of
# movies that is asked for: the first ten of twenty would be other movies than ten, and
# a row would depend on what the other rows of the batch ask for.
_POOL: Final = 200

# Below every value of a movie, which is at least -1.
_LAST: Final = -4.0

Listed = tuple[tf.Tensor, tf.Tensor]  # scores and corpus rows, see `RetrievalIndex`


class Diversity:
    """Maximal marginal relevance, over the best movies of a search.

    Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering
    Documents and Producing Summaries", SIGIR 1998. The next movie of a list is the one
    with the largest

    `(1 - diversity) * relevance - diversity * max(similarity to the listed ones)`

    `relevance` is the score, scaled to go from 0 to 1 in the row's pool: scores differ
    in range from user to user. `similarity` is the cosine of candidate embeddings
    without the bias, as in `SimilarMovies`: every movie has one, also without genres,
    and it says which movies the same users watch, which genres do not.

    Args:
      index: The embedded corpus.

    Attributes:
      bytes_per_query: An estimate of what one row takes in memory.
    """

    def __init__(self, index: RetrievalIndex) -> None:
        self._index = index
        self._pool = min(_POOL, index.num_movies)
        # The embeddings, and a copy of unit length.
        self.bytes_per_query = 8 * self._pool * index.dim
        self._reordered = traced_once(
            self._order,
            tf.TensorSpec([None, None], tf.float32),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None], tf.float32),
            tf.TensorSpec([], tf.int32),
        )

    def __call__(
        self,
        diversity: tf.Tensor,
        width: tf.Tensor,
        best: Callable[[tf.Tensor], Listed],
    ) -> Listed:
        """Searches, and re-ranks the rows that ask for it.

        Args:
          diversity: float32 `[batch]`, at least 0 and less than 1. A row with 0 keeps
            its order.
          width: int32 scalar, movies of each row, at most the size of the corpus.
          best: Returns so many movies of each row, see `RetrievalIndex.best`.

        Returns:
          Scores, float32, and corpus rows, int32, each `[batch, width]`, in the new
          order. What follows on the pool keeps its place.
        """
        is_diverse = tf.reduce_any(diversity > 0)
        scores, index = best(tf.where(is_diverse, tf.maximum(width, self._pool), width))

        def reranked() -> Listed:
            order = self._reordered(scores, index, diversity, width)
            return tuple(tf.gather(each, order, batch_dims=1) for each in listed)

        listed = scores, index
        return tuple(tf.cond(is_diverse, reranked, lambda: listed))

    def _order(
        self,
        scores: tf.Tensor,
        index: tf.Tensor,
        diversity: tf.Tensor,
        width: tf.Tensor,
    ) -> tf.Tensor:
        """Returns which column comes at each place: int32 `[batch, width]`."""
        scores, index = scores[:, : self._pool], index[:, : self._pool]
        is_movie = scores > -float("inf")
        vectors = self._index.embeddings_of(index)[:, :, :-1]
        vectors = tf.math.l2_normalize(vectors, axis=2, epsilon=1e-30)
        share = diversity[:, tf.newaxis]
        relevance = (1 - share) * _scaled(scores, is_movie)
        columns = tf.range(self._pool)

        def choose(place: tf.Tensor, listed: tf.Tensor, *state: Any) -> Any:
            is_left, similarity = state
            # What is no movie comes last, in its order.
            value = tf.where(is_movie, relevance - share * similarity, _LAST)
            value = tf.where(is_left, value, -float("inf"))
            chosen = tf.argmax(value, axis=1, output_type=tf.int32)
            vector = tf.gather(vectors, chosen, batch_dims=1)
            cosine = tf.linalg.matvec(vectors, vector)
            # The first movie is the most relevant one; there is nothing to be like.
            similarity = tf.where(place > 0, tf.maximum(similarity, cosine), cosine)
            is_left &= columns != chosen[:, tf.newaxis]
            listed = tf.concat([listed, chosen[:, tf.newaxis]], axis=1)
            return place + 1, listed, is_left, similarity

        chosen = tf.minimum(width, self._pool)
        _, listed, *_ = tf.while_loop(
            lambda place, *_: place < chosen,
            choose,
            (
                tf.constant(0),
                tf.zeros([tf.shape(scores)[0], 0], tf.int32),
                tf.fill(tf.shape(scores), True),
                tf.zeros_like(scores),
            ),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([None, None]),
                scores.shape,
                scores.shape,
            ),
            parallel_iterations=1,
        )
        rest = tf.range(chosen, width)[tf.newaxis]
        return tf.concat([listed, tf.tile(rest, [tf.shape(scores)[0], 1])], axis=1)


def _scaled(scores: tf.Tensor, is_movie: tf.Tensor) -> tf.Tensor:
    """Scales the scores of each row's movies to 0 .. 1; all are 0 where all agree."""
    most = tf.reduce_max(tf.where(is_movie, scores, scores.dtype.min), 1, True)
    least = tf.reduce_min(tf.where(is_movie, scores, scores.dtype.max), 1, True)
    return tf.math.divide_no_nan(scores - least, most - least)
