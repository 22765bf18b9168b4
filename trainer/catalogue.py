"""What the served model knows of the movies beside their embeddings."""

from __future__ import annotations

from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer import features as f
from trainer.input_pipeline import Corpus
from trainer.movielens import GENRES, title_year
from trainer.ranking import PADDING
from trainer.retrieval_index import Attributes
from trainer.serving_contract import NO_SCORE

_BITS: Final = 1 << np.arange(len(GENRES), dtype=np.int32)


class Catalogue(tf.Module):
    """Ids, texts and attributes of the movies, by corpus row.

    Args:
      corpus: The movies.

    Attributes:
      num_movies: Size of the corpus.
      attributes: What filters read.
    """

    def __init__(self, corpus: Corpus) -> None:
        super().__init__(name="catalogue")
        self.num_movies = len(corpus.movie_ids)
        # The row of the unknown movie is empty: it stands where there is no movie.
        self._movie_ids, self._titles, self._genres = (
            tf.concat([texts, [""]], axis=0)
            for texts in (corpus.movie_ids, corpus.titles, corpus.genres)
        )
        self._num_ratings = tf.constant(corpus.num_ratings, tf.int64)
        # float32 `[num_movies + 1, genres]`, zero for the unknown movie.
        self.genre_weights = tf.constant(corpus.features.genre_weights, tf.float32)
        self.attributes = Attributes(_genre_bits(corpus), _years(corpus))

    def columns(self) -> dict[str, tf.Tensor]:
        """Returns all movies: see `trainer.serving_contract.CATALOGUE`."""
        return {
            f.MOVIE_ID: self._movie_ids[:-1],
            f.TITLE: self._titles[:-1],
            f.GENRES: self._genres[:-1],
            f.YEAR: tf.constant(self.attributes.years),
            f.NUM_RATINGS: self._num_ratings,
        }

    def ids(self, index: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
        """Returns the ids of corpus rows, "" for the unknown movie."""
        return tf.gather(self._movie_ids, index)

    def describe(
        self, scores: tf.Tensor, index: tf.Tensor, k: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns what the served model answers.

        Args:
          scores: float32 `[batch, width]`, from `RetrievalIndex.best`.
          index: int32 `[batch, width]`, from `RetrievalIndex.best`.
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

    def self_information(self, top_ids: tf.Tensor) -> tf.Tensor:
        """Returns `-log2` of each movie's share of training events, in bits.

        Shares are smoothed: one event is added to every movie.

        Args:
          top_ids: int32 `[batch, k]`, corpus rows or `PADDING`.

        Returns:
          float32 `[batch, k]`, 0 at padding.
        """
        num_ratings = tf.cast(self._num_ratings + 1, tf.float32)
        share = num_ratings / tf.reduce_sum(num_ratings)
        bits = -tf.math.log(share) / tf.math.log(2.0)
        found = tf.not_equal(top_ids, PADDING)
        return tf.where(found, tf.gather(bits, tf.maximum(top_ids, 0)), 0.0)


def _genre_bits(corpus: Corpus) -> NDArray[np.int32]:
    """int32 `[num_movies]`, bit mask over `GENRES`; other genres have no bit."""
    weights = corpus.features.genre_weights[: len(corpus.movie_ids), : len(GENRES)]
    return np.asarray((weights > 0) @ _BITS, np.int32)


def _years(corpus: Corpus) -> NDArray[np.int32]:
    """int32 `[num_movies]`, 0 where unknown; the candidate tower's has less range."""
    titles = (title.decode(errors="replace") for title in corpus.titles.tolist())
    return np.array([title_year(title) or 0 for title in titles], np.int32)
