"""The candidate tower: what a movie is."""

from __future__ import annotations

from typing import Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.context import ModelContext
from trainer.towers.cross import CrossNetwork

# As in Keras' own embeddings: small against the sums that the query tower forms.
INITIALIZER: Final = "uniform"
_YEARS_OF_A_DECADE: Final = 10


class CandidateTower(keras.layers.Layer):
    """Embeds movies by id, genres, decade, year and title words.

    The attributes' embeddings start at zero, so that each movie starts as its id alone
    and learns what it shares with others. A movie that nobody rated has only these, and
    the id and bias of "unknown". In training a random part of the movies is "unknown"
    too (`model.movie_dropout`), as in DropoutNet (Volkovs et al. 2017), which teaches
    the attributes to do without the id and "unknown" to be worth an average movie.

    With `model.cross_layers` the features are also crossed with each other.

    A tower of one's own, `--set model.candidate_tower=package.module.Class`, extends
    this class and overrides `features`.
    """

    def __init__(self, context: ModelContext) -> None:
        """See the class docstring."""
        super().__init__(name="candidate_tower")
        config, movies = context.config, context.movies
        self.embedding_dim = context.embedding_dim
        self.movie_features = tuple(config.movie_features)
        num_rows, num_genres = movies.genre_weights.shape
        self.movie = self._table("movie", num_rows, INITIALIZER)
        self.genre = self._table("genre", num_genres)
        decades = _decades(movies.year_index)
        self.decade = self._table("decade", int(decades.max()) + 1)
        self.year = self._table("year", int(movies.year_index.max()) + 1)
        self.title = self._table("title", movies.num_title_tokens)
        self.time = self.add_weight(
            (num_rows, config.time_dim),
            initializer="zeros",
            name="time",
            trainable=config.time_dim > 0,
        )
        self.bias = self.add_weight(
            (num_rows, 1),
            initializer="zeros",
            name="bias",
            trainable=config.item_bias,
        )
        self._dropout = config.movie_dropout
        self._seed = keras.random.SeedGenerator(context.seed + 3)
        # Index of each movie as a movie of its own, or of "unknown".
        self._known_as = np.where(
            movies.is_rated, np.arange(num_rows), num_rows - 1
        ).astype(np.int32)
        self._genre_weights = movies.genre_weights.astype("float32")
        self._year_index, self._decade_index = movies.year_index, decades
        # Flat, for most titles are much shorter than the longest.
        is_word = movies.title_tokens >= 0
        self._words = movies.title_tokens[is_word]
        self._word_splits = np.append(0, np.cumsum(is_word.sum(axis=1)))
        self._add_cross(config.cross_layers)

    def _table(
        self, name: str, rows: int, initializer: str = "zeros"
    ) -> keras.Variable:
        return self.add_weight(
            (rows, self.embedding_dim), initializer=initializer, name=name
        )

    def _add_cross(self, num_layers: int) -> None:
        self._cross: CrossNetwork | None = None
        if num_layers:
            width = len(self.movie_features) * self.embedding_dim
            self._cross = CrossNetwork(num_layers, width)
            self._correction = keras.layers.Dense(
                self.embedding_dim, kernel_initializer="zeros"
            )
            self._correction.build((None, width))

    def features(self, indices: tf.Tensor, ids: tf.Tensor) -> list[tf.Tensor]:
        """Embeds each of `model.movie_features`.

        Args:
          indices: int32 `[n]`, vocabulary indices, to look attributes up.
          ids: int32 `[n]`, the same, but for movies that count as "unknown".

        Returns:
          `[n, embedding_dim]` for each feature; a movie's embedding is their sum.
        """
        makers = {
            "id": lambda: tf.gather(self.movie, ids),
            "genres": lambda: self._embed_genres(indices),
            "decade": lambda: tf.gather(
                self.decade, tf.gather(self._decade_index, indices)
            ),
            "year": lambda: tf.gather(self.year, tf.gather(self._year_index, indices)),
            "title": lambda: self._embed_titles(indices),
        }
        return [makers[name]() for name in self.movie_features]

    def call(self, indices: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Embeds movies.

        Args:
          indices: int32 `[n]`, vocabulary indices.
          training: Whether some movies count as "unknown" at random.

        Returns:
          `[n, embedding_dim + time_dim + 1]`: what the movie is; when it is watched,
          against the query's time; and its bias, against the query's 1.
        """
        ids = tf.gather(self._known_as, indices)
        if training and self._dropout:
            draw = keras.random.uniform(tf.shape(ids), seed=self._seed)
            ids = tf.where(draw < self._dropout, len(self._known_as) - 1, ids)
        features = self.features(indices, ids)
        embedding = tf.add_n(features)
        if self._cross is not None:
            crossed = self._cross(tf.concat(features, axis=1))
            embedding += self._correction(crossed)
        others = [tf.gather(table, ids) for table in (self.time, self.bias)]
        return tf.concat([embedding, *others], axis=1)

    def _embed_genres(self, indices: tf.Tensor) -> tf.Tensor:
        weights = tf.gather(self._genre_weights, indices)
        genre = tf.convert_to_tensor(self.genre)
        return tf.matmul(tf.cast(weights, genre.dtype), genre)

    def _embed_titles(self, indices: tf.Tensor) -> tf.Tensor:
        """Mean embedding of each title's words, zero without any: `[n, dim]`."""
        titles = tf.RaggedTensor.from_row_splits(
            self._words, self._word_splits, validate=False
        )
        words = tf.gather(titles, indices)
        sums = tf.math.unsorted_segment_sum(
            tf.gather(self.title, words.flat_values),
            words.value_rowids(),
            tf.size(indices),
        )
        lengths = tf.cast(tf.maximum(words.row_lengths(), 1), sums.dtype)
        return sums / lengths[:, None]


def _decades(years: NDArray[np.int32]) -> NDArray[np.int32]:
    """1 + the decade since 1900 of each year index, 0 where unknown.

    A year of few movies has little to learn from; its decade has more.
    """
    return np.where(years > 0, (years - 1) // _YEARS_OF_A_DECADE + 1, 0)
