"""The two towers: their dot product is the score of a movie for a query."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops
from numpy.typing import NDArray

from trainer.history import PooledHistory

# Small against the sums that the query tower forms of many embeddings.
_INITIAL_STDDEV = 0.05


class CandidateFeatures(NamedTuple):
    """What the candidate tower knows of each movie, by vocabulary index.

    The row behind the last movie stands for all movies outside the vocabulary.

    Attributes:
      genre_weights: float32 `[num_movies + 1, genres]`, rows sum to 1 or to 0.
      decade_index: int32 `[num_movies + 1]`.
      title_tokens: int32 `[num_movies + 1, tokens]`, -1 where the title is shorter.
      num_title_tokens: Title vocabulary, its out-of-vocabulary bucket included.
    """

    genre_weights: NDArray[Any]
    decade_index: NDArray[Any]
    title_tokens: NDArray[Any]
    num_title_tokens: int

    @property
    def num_movies(self) -> int:
        """Movies of the vocabulary, the out-of-vocabulary row not counted."""
        return len(self.decade_index) - 1


class CandidateTower(keras.layers.Layer):
    """Embeds movies by id, genres, decade and title words.

    The attributes' embeddings start at zero, so that each movie starts as its id alone
    and learns what it shares with others; a movie that nobody rated has only these.

    Args:
      features: Attributes of all movies.
      embedding_dim: Width of an embedding, without the bias.
    """

    def __init__(
        self, features: CandidateFeatures, embedding_dim: int, **kwargs: object
    ) -> None:
        """See the class docstring."""
        super().__init__(**kwargs)
        self._features = features
        self.embedding_dim = embedding_dim

    def build(self, input_shape: object = None) -> None:
        """Makes one embedding table per feature and the item bias."""
        features, dim = self._features, self.embedding_dim
        num_rows, num_genres = features.genre_weights.shape
        self.movie = self.add_weight(
            shape=(num_rows, dim),
            initializer=keras.initializers.RandomNormal(stddev=_INITIAL_STDDEV),
            name="movie",
        )
        self.bias = self.add_weight((num_rows, 1), initializer="zeros", name="bias")
        self.genre = self._zeros("genre", num_genres)
        self.decade = self._zeros("decade", int(features.decade_index.max()) + 1)
        self.title = self._zeros("title", features.num_title_tokens)

    def _zeros(self, name: str, rows: int) -> keras.Variable:
        return self.add_weight(
            (rows, self.embedding_dim), initializer="zeros", name=name
        )

    def call(self, indices: keras.KerasTensor) -> keras.KerasTensor:
        """Embeds movies.

        Args:
          indices: int32 `[n]`, vocabulary indices.

        Returns:
          `[n, embedding_dim + 1]`; the last column is the movie's bias.
        """
        take = self._take
        embedding = ops.take(self.movie, indices, axis=0)
        embedding += ops.matmul(take("genre_weights", indices), self.genre)
        embedding += ops.take(self.decade, take("decade_index", indices), axis=0)
        embedding += self._embed_titles(take("title_tokens", indices))
        return ops.concatenate(
            [embedding, ops.take(self.bias, indices, axis=0)], axis=1
        )

    def _take(self, name: str, indices: keras.KerasTensor) -> keras.KerasTensor:
        table = ops.convert_to_tensor(getattr(self._features, name))
        return ops.take(table, indices, axis=0)

    def _embed_titles(self, tokens: keras.KerasTensor) -> keras.KerasTensor:
        """Mean embedding of each title's words, zero without any: `[n, dim]`."""
        if tokens.shape[1] == 0:
            return ops.zeros((1, self.embedding_dim))
        known = ops.cast(tokens >= 0, self.title.dtype)[:, :, None]
        words = ops.take(self.title, ops.maximum(tokens, 0), axis=0) * known
        return ops.sum(words, axis=1) / ops.maximum(ops.sum(known, axis=1), 1.0)


class QueryTower(keras.layers.Layer):
    """Embeds a user at a moment: who they are and what they watched until then.

    `query = sum(inputs) + MLP(inputs)` of the user and the pools of the timeline, where
    the MLP starts at zero: training begins from the plain sum and learns to correct it.

    Args:
      num_users: Users of the vocabulary; the index behind them is "unknown".
      attribute_sizes: Values of each user attribute, 0 ("unknown") included.
      embedding_dim: Width of an embedding, without the bias.
      history: Encoder of the timeline.
      dropout: Rate at which inputs of the sum are dropped in training.
      user_dropout: Rate at which a window's user is "unknown" in training. It teaches
        the tower to do with the history alone, as it must for a new user.
    """

    def __init__(
        self,
        num_users: int,
        attribute_sizes: tuple[int, ...],
        embedding_dim: int,
        history: PooledHistory,
        *,
        dropout: float,
        user_dropout: float,
        seed: int,
        **kwargs: object,
    ) -> None:
        """See the class docstring."""
        super().__init__(**kwargs)
        self.num_users = num_users
        self.attribute_sizes = attribute_sizes
        self.embedding_dim = embedding_dim
        self.history = history
        self.user_dropout = user_dropout
        self._seed = keras.random.SeedGenerator(seed)
        self._dropout = keras.layers.Dropout(dropout, seed=seed + 1)
        width = (history.num_outputs + 1) * embedding_dim
        self._hidden = keras.layers.Dense(2 * embedding_dim, activation="gelu")
        self._correction = keras.layers.Dense(embedding_dim, kernel_initializer="zeros")
        self._hidden.build((None, width))
        self._correction.build((None, 2 * embedding_dim))

    def build(self, input_shape: object = None) -> None:
        """Makes the tables of users and of their attributes."""
        dim = self.embedding_dim
        self.user = self.add_weight(
            (self.num_users + 1, dim),
            initializer=keras.initializers.RandomNormal(stddev=_INITIAL_STDDEV),
            name="user",
        )
        self.attributes = [
            self.add_weight((size, dim), initializer="zeros", name=f"attribute_{i}")
            for i, size in enumerate(self.attribute_sizes)
        ]

    def call(
        self,
        user_index: keras.KerasTensor,
        attribute_indices: keras.KerasTensor,
        events: keras.KerasTensor,
        positions: keras.KerasTensor,
        training: bool = False,
    ) -> keras.KerasTensor:
        """Embeds queries at chosen places of the timelines.

        Args:
          user_index: int32 `[batch]`.
          attribute_indices: int32 `[batch, attributes]`.
          events: `[batch, L, embedding_dim]`, embeddings of the timeline's movies,
            oldest first, zero where there is none.
          positions: int32 `[n, 2]`, row and place in `0 .. L`: the query is made of
            the events before that place.
          training: Whether to drop inputs and users.

        Returns:
          `[n, embedding_dim + 1]`; the last column is 1 and takes in the item bias.
        """
        row = positions[:, 0]
        user = ops.take(self._embed_users(user_index, training), row, axis=0)
        if self.attribute_sizes:
            attributes = sum(
                ops.take(table, attribute_indices[:, i], axis=0)
                for i, table in enumerate(self.attributes)
            )
            user += ops.take(attributes, row, axis=0)
        places = events.shape[1] + 1
        flat = row * places + positions[:, 1]
        pools = [
            ops.take(ops.reshape(pool, (-1, self.embedding_dim)), flat, axis=0)
            for pool in self.history(events)
        ]
        inputs = ops.concatenate([user, *pools], axis=1)
        inputs = self._dropout(inputs, training=training)
        query = sum(ops.split(inputs, len(pools) + 1, axis=1))
        query += self._correction(self._hidden(inputs))
        return ops.concatenate([query, ops.ones_like(query[:, :1])], axis=1)

    def _embed_users(
        self, user_index: keras.KerasTensor, training: bool
    ) -> keras.KerasTensor:
        """Embeds users, some of them as unknown in training: `[batch, dim]`."""
        if training and self.user_dropout:
            draw = keras.random.uniform(ops.shape(user_index), seed=self._seed)
            unknown = ops.full_like(user_index, self.num_users)
            user_index = ops.where(draw < self.user_dropout, unknown, user_index)
        return ops.take(self.user, user_index, axis=0)
