"""Exact top-k by brute force."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.ranking import candidate_mask, top_k
from trainer.retrieval_index.base import Attributes, Filters, RetrievalIndex, Search

# Scores of one block of movies: 16 MiB.
_BLOCK_SCORES: Final = 1 << 22
_MIN_BLOCK: Final = 1 << 15
_BYTES_PER_SCORE: Final = 12  # with the mask and one copy


class BruteForceIndex(RetrievalIndex):
    """The embedded corpus, searched by matrix products and top-k.

    Large batches are scored a block of movies at a time, so that there is never a score
    matrix of all movies.

    Args:
      embeddings: float32 `[num_movies + 1, dim]`, the unknown movie last.
      attributes: What filters read of the movies.
    """

    kind = "brute_force"
    is_exact = True

    def __init__(self, embeddings: NDArray[np.float32], attributes: Attributes) -> None:
        super().__init__(embeddings)
        self._largest_block = self.num_movies
        self._keep(embeddings)
        self._genres, self._years = map(tf.constant, attributes)
        self.bytes_per_query = self.bytes_per_exact_query = _BYTES_PER_SCORE * min(
            self.num_movies, _MIN_BLOCK
        )

    def _keep(self, embeddings: NDArray[np.float32]) -> None:
        self.embeddings = tf.Variable(embeddings, trainable=False)

    def scores(self, query: tf.Tensor) -> tf.Tensor:
        """See `RetrievalIndex.scores`."""
        # The scores are sliced, because a slice of the embeddings would copy them all.
        scores = tf.matmul(query, self.embeddings, transpose_b=True)
        return scores[:, : self.num_movies]

    def embeddings_of(self, index: tf.Tensor) -> tf.Tensor:
        """See `RetrievalIndex.embeddings_of`."""
        # A lookup in the variable itself makes TensorFlow copy it at each later read.
        return tf.gather(self.embeddings.read_value(), index)

    def best(
        self,
        query: tf.Tensor,
        excluded: tf.Tensor,
        width: tf.Tensor,
        filters: Filters | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `RetrievalIndex.best`."""
        return self.exact(Search(query, excluded, width, filters))

    def exact(self, search: Search) -> tuple[tf.Tensor, tf.Tensor]:
        """Does what `best` does, exactly in subclasses too."""
        num_movies = self.num_movies
        if num_movies <= _MIN_BLOCK:
            return self._best_of(0, num_movies, search)
        rows = tf.maximum(tf.shape(search.query)[0], 1)
        block = tf.clip_by_value(_BLOCK_SCORES // rows, _MIN_BLOCK, self._largest_block)
        return tf.cond(
            block >= num_movies,
            lambda: self._best_of(0, num_movies, search),
            lambda: self._in_blocks(block, search),
        )

    def _in_blocks(
        self, block: tf.Tensor, search: Search
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Joins the best movies of one block of the corpus after the other."""
        shape = [tf.shape(search.query)[0], search.width]

        def add(start: tf.Tensor, scores: tf.Tensor, index: tf.Tensor) -> Any:
            end = tf.minimum(start + block, self.num_movies)
            found = self._best_of(start, end, search)
            # Of equal scores the first is taken, which is that of the lower row.
            joined = tf.concat([scores, found[0]], axis=1)
            scores, place = tf.math.top_k(joined, search.width)
            index = tf.concat([index, found[1]], axis=1)
            return end, scores, tf.gather(index, place, batch_dims=1)

        none = tf.fill(shape, -float("inf")), tf.zeros(shape, tf.int32)
        unknown = tf.TensorShape([None, None])
        _, scores, index = tf.while_loop(
            lambda start, *_: start < self.num_movies,
            add,
            (tf.constant(0), *none),
            shape_invariants=(tf.TensorShape([]), unknown, unknown),
            parallel_iterations=1,
        )
        return scores, index

    def _best_of(
        self, start: tf.Tensor | int, end: tf.Tensor | int, search: Search
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best of the movies from `start` to `end`, as `best` does."""
        scores = self._scores_of(start, end, search.query)
        listed = candidate_mask(tf.shape(scores), search.excluded - start)
        listed &= tf.math.is_finite(scores)
        if search.filters is not None:
            genres, years = self._genres[start:end], self._years[start:end]
            listed &= search.filters.expanded(2).allow(genres, years)
        scores = tf.where(listed, scores, -float("inf"))
        if isinstance(start, int):  # the whole corpus, which has `width` movies
            return top_k(scores, search.width)
        found = tf.minimum(search.width, tf.shape(scores)[1])
        best, index = top_k(scores, found)
        missing = [[0, 0], [0, search.width - found]]
        best = tf.pad(best, missing, constant_values=-float("inf"))
        return best, tf.pad(index, missing) + start

    def _scores_of(
        self, start: tf.Tensor | int, end: tf.Tensor | int, query: tf.Tensor
    ) -> tf.Tensor:
        """Scores the movies from `start` to `end`: `[batch, end - start]`."""
        if isinstance(start, int):
            return self.scores(query)
        # A part of the rows is no copy.
        return tf.matmul(query, self.embeddings[start:end], transpose_b=True)
