"""Ranks by popularity: the rules of `trainer.ranking` without a score matrix.

Only what users have seen makes their rankings differ. The rank of a movie for a user is
therefore its rank among all movies, minus the better ones that the user has seen.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.ranking import PADDING

_NO_MOVIE = np.iinfo(np.int32).max


class PopularityRanking(tf.Module):
    """The ranking by number of training events.

    Args:
      num_ratings: `[num_movies]` training events of each movie.
    """

    def __init__(self, num_ratings: NDArray[np.int64]) -> None:
        super().__init__(name="popularity")
        counts = np.asarray(num_ratings, np.int32)
        not_smaller = len(counts) - np.searchsorted(np.sort(counts), counts)
        self._num_movies = len(counts)
        self._num_ratings = tf.constant(counts)
        # Includes the movie itself, which is the 1 of "1 + the others".
        self._not_smaller = tf.constant(not_smaller.astype(np.int32))

    def rank(
        self, seen: tf.Tensor, held_out: tf.Tensor, exclude_seen: bool = True
    ) -> tf.Tensor:
        """Returns the ranks of held-out movies: see `trainer.ranking.rank_held_out`.

        Args:
          seen: integer `[batch, seen]`, corpus rows; others are ignored.
          held_out: integer `[batch, held_out]`, corpus rows, `PADDING`, or any other
            value for a movie outside the corpus.
          exclude_seen: Whether seen movies are taken out of the candidates.

        Returns:
          int32 `[batch, held_out]`.
        """
        seen, held_out = tf.cast(seen, tf.int32), tf.cast(held_out, tf.int32)
        is_shown = (held_out >= 0) & (held_out < self._num_movies)
        row = tf.where(is_shown, held_out, 0)
        rank = tf.gather(self._not_smaller, row)
        if exclude_seen:
            seen = self._distinct(seen)
            rank -= self._seen_before(seen, row)
            position = tf.searchsorted(seen, row)
            # One more column, because a position may be behind the last one.
            padded = tf.pad(seen, [[0, 0], [0, 1]], constant_values=_NO_MOVIE)
            is_seen = tf.gather(padded, position, batch_dims=1) == row
            is_shown &= ~is_seen
        rank = tf.where(is_shown, rank, self._num_movies + 1)
        return tf.where(tf.equal(held_out, PADDING), 0, rank)

    def _distinct(self, seen: tf.Tensor) -> tf.Tensor:
        """Sorts each row; padding and repetitions become `_NO_MOVIE`, at the end."""
        in_corpus = (seen >= 0) & (seen < self._num_movies)
        in_order = tf.sort(tf.where(in_corpus, seen, _NO_MOVIE))
        is_repeated = tf.equal(in_order[:, 1:], in_order[:, :-1])
        distinct = tf.where(is_repeated, _NO_MOVIE, in_order[:, 1:])
        return tf.sort(tf.concat([in_order[:, :1], distinct], axis=1))

    def _seen_before(self, seen: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        """int32 `[batch, held_out]`: seen movies that are not less popular."""
        is_movie = seen < _NO_MOVIE
        ratings = tf.gather(self._num_ratings, tf.where(is_movie, seen, 0))
        in_order = tf.sort(tf.where(is_movie, ratings, -1))
        less = tf.searchsorted(in_order, tf.gather(self._num_ratings, row))
        return tf.shape(seen)[1] - less
