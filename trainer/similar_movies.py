"""Movies that the model embeds like another one."""

from __future__ import annotations

from typing import Final

import numpy as np
import tensorflow as tf

from trainer.ranking import candidate_mask
from trainer.retrieval_index import RetrievalIndex

_BYTES_PER_CANDIDATE: Final = 40  # scores and masks
_CHUNK: Final = 1 << 16  # movies whose embeddings are read at once


class SimilarMovies(tf.Module):
    """Exact search by the cosine of candidate embeddings, without their biases.

    The last coordinate of an embedding is the movie's bias, which says how popular it
    is and not what it is like.

    Args:
      index: The embedded corpus.

    Attributes:
      bytes_per_movie: An estimate of what a search takes in memory.
    """

    def __init__(self, index: RetrievalIndex) -> None:
        super().__init__(name="similar_movies")
        self._index = index
        self.bytes_per_movie = _BYTES_PER_CANDIDATE * index.num_movies
        rows = np.arange(index.num_movies + 1, dtype=np.int32)
        norms = np.concatenate(
            [
                np.linalg.norm(index.embeddings_of(some).numpy()[:, :-1], axis=1)
                for some in np.array_split(rows, 1 + len(rows) // _CHUNK)
            ]
        )
        # A movie of length 0 is like no other. A variable, because constants of a graph
        # are limited to 2 GiB.
        inverse = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
        self._inverse_norms = tf.Variable(inverse, trainable=False)

    def __call__(
        self, movie: tf.Tensor, width: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the movies that are most like each movie, never itself.

        Args:
          movie: int32 `[batch]`, corpus rows; anything else has no similar movies.
          width: int32 scalar, movies of each row, at most the size of the corpus.

        Returns:
          Cosines, float32, and corpus rows, int32, each `[batch, width]`, best first.
          Where no more are left, the row ends in minus infinity.
        """
        inverse = self._inverse_norms.read_value()
        direction = (
            self._index.embeddings_of(movie) * tf.gather(inverse, movie)[:, None]
        )
        query = tf.pad(direction[:, :-1], [[0, 0], [0, 1]])
        cosines = self._index.scores(query) * inverse[: self._index.num_movies]
        listed = candidate_mask(tf.shape(cosines), movie[:, tf.newaxis])
        listed &= tf.math.is_finite(cosines)
        listed &= (movie < self._index.num_movies)[:, tf.newaxis]
        return tf.math.top_k(tf.where(listed, cosines, -float("inf")), width)
