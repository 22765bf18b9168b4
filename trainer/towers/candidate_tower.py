"""The candidate tower: embeds movies."""

from __future__ import annotations

from typing import Final

import keras
import numpy as np
import tensorflow as tf

from trainer.context import ModelContext
from trainer.serving_contract import MOVIE_VOCABULARY, TITLE_VOCABULARY
from trainer.towers.layers import BY_INDEX, NOT_CARRIED, CrossNetwork, rows_of

# As in Keras' own embeddings: small against the sums that the query tower forms.
INITIALIZER: Final = "uniform"
_YEARS_OF_A_DECADE: Final = 10


class CandidateTower(keras.layers.Layer):
    """Embeds movies by id, genres, decade, year and title words.

    The embeddings of attributes start at zero: at first a movie is its id alone, and
    training learns what it shares with others. A movie without ratings has only its
    attributes, with the id and bias of the unknown movie. Training also hides the id of
    some movies at random (`model.movie_dropout`), as in DropoutNet (Volkovs et al.
    2017), so that attributes alone are enough to embed a movie, and the unknown movie
    learns to be an average one.

    With `model.cross_layers` the features are also crossed with each other.

    `--set model.candidate_tower=package.module.Class` selects a subclass of your own by
    its dotted path; it usually overrides `features`. An example also embeds how many
    words a title has:

    ```python
    import tensorflow as tf
    from trainer.towers import CandidateTower


    class TitleLengthTower(CandidateTower):
        def __init__(self, context):
            super().__init__(context)
            self._num_words = (context.movies.title_tokens >= 0).sum(axis=1)
            shape = (self._num_words.max() + 1, self.embedding_dim)
            self._lengths = self.add_weight(shape, initializer="zeros", name="lengths")

        def features(self, indices, ids):
            first, *others = super().features(indices, ids)
            lengths = tf.gather(self._num_words, indices)
            return [first + tf.gather(self._lengths, lengths), *others]
    ```
    """

    def __init__(self, context: ModelContext) -> None:
        super().__init__(name="candidate_tower")
        config, movies = context.config, context.movies
        self.embedding_dim = context.embedding_dim
        self.movie_features = tuple(config.movie_features)
        num_rows, num_genres = movies.genre_weights.shape
        self.movie = self._table("movie", num_rows, INITIALIZER, autocast=False)
        self.genre = self._table("genre", num_genres)
        years = movies.year_index
        # Since 1900, from 1. A year with few movies learns little; its decade more.
        decades = np.where(years > 0, (years - 1) // _YEARS_OF_A_DECADE + 1, 0)
        self.decade = self._table("decade", int(decades.max()) + 1)
        self.year = self._table("year", int(years.max()) + 1)
        self.title = self._table("title", movies.num_title_tokens)
        self.time = self.add_weight(
            (num_rows, config.time_dim),
            initializer="zeros",
            name="time",
            trainable=config.time_dim > 0,
            autocast=False,
        )
        self.bias = self.add_weight(
            (num_rows, 1),
            initializer="zeros",
            name="bias",
            trainable=config.item_bias,
            autocast=False,
        )
        self._dropout = config.movie_dropout
        self._seed = keras.random.SeedGenerator(context.seed + 3)
        # Row of each movie in the id's table: its own, or that of the unknown movie.
        self._id_rows = np.where(
            movies.is_rated, np.arange(num_rows), num_rows - 1
        ).astype(np.int32)
        self._genre_weights = movies.genre_weights.astype("float32")
        self._year_index, self._decade_index = years, decades
        # Flat, since most titles are much shorter than the longest.
        is_word = movies.title_tokens >= 0
        self._words = movies.title_tokens[is_word]
        self._word_splits = np.append(0, np.cumsum(is_word.sum(axis=1)))
        self._add_cross(config.cross_layers)

    def _table(
        self,
        name: str,
        rows: int,
        initializer: str = "zeros",
        *,
        autocast: bool = True,
    ) -> keras.Variable:
        return self.add_weight(
            (rows, self.embedding_dim),
            initializer=initializer,
            name=name,
            autocast=autocast,
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

    def row_kinds(self) -> dict[str, str]:
        """Returns what the rows of each table stand for, for a warm start.

        A subclass adds its own tables, if their number of rows depends on the data.

        Returns:
          Path of the variable to the name of a vocabulary, whose tokens have a row each
          and the unknown ones the last; to `BY_INDEX`; or to `NOT_CARRIED`.
        """
        return {
            self.movie.path: MOVIE_VOCABULARY,
            self.bias.path: MOVIE_VOCABULARY,
            self.title.path: TITLE_VOCABULARY,
            self.decade.path: BY_INDEX,
            self.year.path: BY_INDEX,
            self.time.path: NOT_CARRIED,
        }

    def features(self, indices: tf.Tensor, ids: tf.Tensor) -> list[tf.Tensor]:
        """Embeds each of `model.movie_features`.

        Args:
          indices: int32 `[n]`, vocabulary indices, to look attributes up.
          ids: int32 `[n]`, the same, or the unknown movie where the id is hidden.

        Returns:
          `[n, embedding_dim]` for each feature; a movie's embedding is their sum.
        """
        makers = {
            "id": lambda: rows_of(self.movie, ids, self.compute_dtype),
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
          training: Whether the ids of some movies are hidden at random.

        Returns:
          `[n, embedding_dim + time_dim + 1]`: the movie's embedding; its embedding of
          time, which meets that of the query; and its bias, which meets a 1.
        """
        ids = tf.gather(self._id_rows, indices)
        if training and self._dropout:
            draw = keras.random.uniform(tf.shape(ids), seed=self._seed)
            ids = tf.where(draw < self._dropout, len(self._id_rows) - 1, ids)
        features = self.features(indices, ids)
        embedding = tf.add_n(features)
        if self._cross is not None:
            crossed = self._cross(tf.concat(features, axis=1))
            embedding += self._correction(crossed)
        others = [
            rows_of(table, ids, self.compute_dtype) for table in (self.time, self.bias)
        ]
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
