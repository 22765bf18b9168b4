"""The retrieval index of the served model: exact top-k by brute force."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.input_pipeline import Corpus
from trainer.ranking import PADDING, candidate_mask


class BruteForceIndex(tf.Module):
    """The embedded corpus, searched by one matrix product and a top-k.

    Args:
      embeddings: float32 `[num_movies + 1, dim]`, the unknown movie last.
      corpus: The movies, in the same order.
    """

    def __init__(self, embeddings: NDArray[np.float32], corpus: Corpus) -> None:
        super().__init__(name="index")
        self.num_movies = len(corpus.movie_ids)
        self.embeddings = tf.Variable(embeddings, trainable=False)
        self._movie_ids = tf.constant(corpus.movie_ids)
        self._titles = tf.constant(corpus.titles)
        self._genres = tf.constant(corpus.genres)
        self._num_ratings = tf.constant(corpus.num_ratings, tf.float32)

    def scores(self, query: tf.Tensor) -> tf.Tensor:
        """Returns dot products: `[batch, dim]` -> `[batch, num_movies]`."""
        corpus = self.embeddings[: self.num_movies]
        return tf.matmul(query, corpus, transpose_b=True)

    def self_information(self, top_ids: tf.Tensor) -> tf.Tensor:
        """Returns `-log2` of each movie's share of training events, in bits.

        Shares are smoothed: one event is added to every movie.

        Args:
          top_ids: int32 `[batch, k]`, corpus rows or `PADDING`.

        Returns:
          float32 `[batch, k]`, 0 at padding.
        """
        share = (self._num_ratings + 1) / tf.reduce_sum(self._num_ratings + 1)
        bits = -tf.math.log(share) / tf.math.log(2.0)
        found = tf.not_equal(top_ids, PADDING)
        return tf.where(found, tf.gather(bits, tf.maximum(top_ids, 0)), 0.0)

    def top(
        self, query: tf.Tensor, seen: tf.Tensor, k: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns the best movies that were not seen.

        Args:
          query: float32 `[batch, dim]`.
          seen: int32 `[batch, seen]`, corpus rows or `PADDING`.
          k: int32 scalar, from 1 to the size of the corpus.

        Returns:
          `movie_ids`, `titles`, `genres` (string) and `scores` (float32), each
          `[batch, k]`, best first. Where fewer than `k` movies are left, the row ends
          in empty strings and scores of minus infinity.

        Raises:
          InvalidArgumentError: If `k` is out of range.
        """
        in_range = tf.debugging.Assert(
            (k >= 1) & (k <= self.num_movies),
            ["k must be from 1 to the corpus size", self.num_movies, "but is", k],
        )
        with tf.control_dependencies([in_range]):
            scores = self.scores(query)
        candidate = candidate_mask(tf.shape(scores), seen)
        scores = tf.where(candidate, scores, -float("inf"))
        scores, index = tf.math.top_k(scores, tf.maximum(k, 0))
        found = scores > -float("inf")

        def listed(column: tf.Tensor) -> tf.Tensor:
            return tf.where(found, tf.gather(column, index), "")

        return {
            "movie_ids": listed(self._movie_ids),
            "titles": listed(self._titles),
            "genres": listed(self._genres),
            "scores": scores,
        }
