"""The retrieval index of the served model: exact top-k by brute force."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.input_pipeline import Corpus
from trainer.ranking import PADDING, candidate_mask
from trainer.serving_contract import NO_SCORE


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
        # The row of the unknown movie is empty: it stands where there is no movie.
        self._movie_ids, self._titles, self._genres = (
            tf.concat([texts, [""]], axis=0)
            for texts in (corpus.movie_ids, corpus.titles, corpus.genres)
        )
        self._num_ratings = tf.constant(corpus.num_ratings, tf.float32)

    def scores(self, query: tf.Tensor) -> tf.Tensor:
        """Returns dot products: `[batch, dim]` -> `[batch, num_movies]`."""
        # The scores are sliced, because a slice of the embeddings would copy them all.
        scores = tf.matmul(query, self.embeddings, transpose_b=True)
        return scores[:, : self.num_movies]

    def embeddings_of(self, index: tf.Tensor) -> tf.Tensor:
        """Looks up embeddings: integer `[batch]` -> float32 `[batch, dim]`."""
        # A lookup in the variable itself makes TensorFlow copy it at each later read.
        return tf.gather(self.embeddings.read_value(), index)

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

    def best(
        self, query: tf.Tensor, seen: tf.Tensor, width: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best movies that were not seen.

        Args:
          query: float32 `[batch, dim]`.
          seen: int32 `[batch, seen]`, corpus rows or `PADDING`.
          width: int32 scalar, movies of each row, at most the size of the corpus.

        Returns:
          Scores, float32, and corpus rows, int32, each `[batch, width]`, best first.
          Where fewer movies are left, the row ends in scores of minus infinity.
        """
        scores = self.scores(query)
        listed = candidate_mask(tf.shape(scores), seen) & tf.math.is_finite(scores)
        scores, index = tf.math.top_k(tf.where(listed, scores, -float("inf")), width)
        return scores, index

    def describe(
        self, scores: tf.Tensor, index: tf.Tensor, k: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns what the served model answers.

        Args:
          scores: float32 `[batch, width]`, from `best`.
          index: int32 `[batch, width]`, from `best`.
          k: int32 `[batch]`, movies of each row.

        Returns:
          `movie_ids`, `titles`, `genres` (string) and `scores` (float32), each
          `[batch, width]`, best first. Where a row has fewer movies, because it asked
          for fewer or no more are left, it ends in empty strings and `NO_SCORE`.
        """
        column = tf.range(tf.shape(index)[1])
        found = (scores > -float("inf")) & (column < k[:, tf.newaxis])
        index = tf.where(found, index, self.num_movies)
        return {
            "movie_ids": tf.gather(self._movie_ids, index),
            "titles": tf.gather(self._titles, index),
            "genres": tf.gather(self._genres, index),
            "scores": tf.where(found, scores, NO_SCORE),
        }
