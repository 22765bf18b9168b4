"""The candidate tower: what a movie is."""

from __future__ import annotations

from typing import Final

import keras
import numpy as np
import tensorflow as tf

from trainer.context import ModelContext
from trainer.towers.cross import CrossNetwork

# As in Keras' own embeddings: small against the sums that the query tower forms.
INITIALIZER: Final = "uniform"


class CandidateTower(keras.layers.Layer):
    """Embeds movies by id, genres, decade and title words.

    The attributes' embeddings start at zero, so that each movie starts as its id alone
    and learns what it shares with others; a movie that nobody rated has only these.
    With `model.cross_layers` the features are also crossed with each other.

    A tower of one's own, `--set model.candidate_tower=package.module.Class`, extends
    this class and overrides `features`.
    """

    def __init__(self, context: ModelContext) -> None:
        """See the class docstring."""
        super().__init__(name="candidate_tower")
        config, movies = context.config, context.movies
        self.embedding_dim = context.embedding_dim
        self.movie_features = tuple(config["movie_features"])
        num_rows, num_genres = movies.genre_weights.shape
        self.movie = self._table("movie", num_rows, INITIALIZER)
        self.genre = self._table("genre", num_genres)
        self.decade = self._table("decade", int(movies.decade_index.max()) + 1)
        self.title = self._table("title", movies.num_title_tokens)
        self.time = self.add_weight(
            (num_rows, config["time_dim"]), initializer="zeros", name="time"
        )
        self.bias = self.add_weight(
            (num_rows, 1),
            initializer="zeros",
            name="bias",
            trainable=config["item_bias"],
        )
        self._genre_weights = movies.genre_weights.astype("float32")
        self._decade_index = movies.decade_index
        # Flat, for most titles are much shorter than the longest.
        is_word = movies.title_tokens >= 0
        self._words = movies.title_tokens[is_word]
        self._word_splits = np.append(0, np.cumsum(is_word.sum(axis=1)))
        self._add_cross(config["cross_layers"])

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

    def features(self, indices: tf.Tensor) -> list[tf.Tensor]:
        """Embeds each of `model.movie_features`.

        Args:
          indices: int32 `[n]`, vocabulary indices.

        Returns:
          `[n, embedding_dim]` for each feature; a movie's embedding is their sum.
        """
        makers = {
            "id": lambda: tf.gather(self.movie, indices),
            "genres": lambda: self._embed_genres(indices),
            "decade": lambda: tf.gather(
                self.decade, tf.gather(self._decade_index, indices)
            ),
            "title": lambda: self._embed_titles(indices),
        }
        return [makers[name]() for name in self.movie_features]

    def call(self, indices: tf.Tensor) -> tf.Tensor:
        """Embeds movies.

        Args:
          indices: int32 `[n]`, vocabulary indices.

        Returns:
          `[n, embedding_dim + time_dim + 1]`: what the movie is; when it is watched,
          against the query's time; and its bias, against the query's 1.
        """
        features = self.features(indices)
        embedding = tf.add_n(features)
        if self._cross is not None:
            crossed = self._cross(tf.concat(features, axis=1))
            embedding += self._correction(crossed)
        others = [tf.gather(table, indices) for table in (self.time, self.bias)]
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
