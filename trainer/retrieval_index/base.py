"""What every retrieval index offers."""

from __future__ import annotations

import abc
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


class Filters(NamedTuple):
    """What may be recommended to each row of a batch.

    Attributes:
      genres: int32 `[batch]`, bit mask over `trainer.movielens.GENRES`: only movies
        with at least one of these genres; 0 for all movies.
      first_year: int32 `[batch]`, 0 for no bound. A movie of an unknown year is within
        no bound.
      last_year: int32 `[batch]`, 0 for no bound.
    """

    genres: tf.Tensor
    first_year: tf.Tensor
    last_year: tf.Tensor

    def expanded(self, rank: int) -> Filters:
        """Returns the filters with dimensions of size 1 up to a rank."""
        return Filters(*(tf.reshape(each, [-1, *([1] * (rank - 1))]) for each in self))

    def allow(self, genres: tf.Tensor, years: tf.Tensor) -> tf.Tensor:
        """Returns which movies pass: bool, of the shape that all broadcast to.

        Args:
          genres: int32, bit mask of each movie.
          years: int32, of each movie, 0 where unknown.
        """
        common = tf.bitwise.bitwise_and(self.genres, genres)
        of_genre = tf.equal(self.genres, 0) | tf.not_equal(common, 0)
        has_year = years > 0
        after = tf.equal(self.first_year, 0) | (has_year & (years >= self.first_year))
        before = tf.equal(self.last_year, 0) | (has_year & (years <= self.last_year))
        return of_genre & after & before


class Attributes(NamedTuple):
    """What filters read of the movies, in the order of the corpus.

    Attributes:
      genres: int32 `[num_movies]`, bit mask over `trainer.movielens.GENRES`.
      years: int32 `[num_movies]`, 0 where unknown.
    """

    genres: NDArray[np.int32]
    years: NDArray[np.int32]


class Search(NamedTuple):
    """The arguments of `RetrievalIndex.best`."""

    query: tf.Tensor
    excluded: tf.Tensor
    width: tf.Tensor
    filters: Filters | None

    def of(self, rows: tf.Tensor) -> Search:
        """Returns the search for some rows of the batch: int32 `[rows]`."""
        filters = self.filters
        if filters is not None:
            filters = Filters(*(tf.gather(each, rows) for each in filters))
        query, excluded = tf.gather(self.query, rows), tf.gather(self.excluded, rows)
        return Search(query, excluded, self.width, filters)


class RetrievalIndex(tf.Module, metaclass=abc.ABCMeta):
    """The embedded corpus.

    Args:
      embeddings: float32 `[num_movies + 1, dim]`, the unknown movie last.

    Attributes:
      num_movies: Size of the corpus.
      dim: Width of an embedding.
      kind: Name of the index in `serving.index`.
      parameters: What shapes the index, for the description of the model.
      is_exact: Whether `best` always returns the movies of the highest scores.
      bytes_per_query: An estimate of what one row of `best` takes in memory, without
        the excluded movies.
    """

    kind: str
    is_exact: bool
    bytes_per_query: int

    def __init__(self, embeddings: NDArray[np.float32]) -> None:
        super().__init__(name="index")
        self.parameters: dict[str, int | bool] = {}
        self.num_movies = len(embeddings) - 1
        self.dim = embeddings.shape[1]

    @abc.abstractmethod
    def scores(self, query: tf.Tensor) -> tf.Tensor:
        """Returns exact dot products: `[batch, dim]` -> `[batch, num_movies]`."""

    @abc.abstractmethod
    def embeddings_of(self, index: tf.Tensor) -> tf.Tensor:
        """Looks up embeddings: integer `[...]` -> float32 `[..., dim]`."""

    @abc.abstractmethod
    def best(
        self,
        query: tf.Tensor,
        excluded: tf.Tensor,
        width: tf.Tensor,
        filters: Filters | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best movies that are neither excluded nor filtered out.

        These never take the place of others: a row has fewer than `width` movies only
        where no more are left.

        Args:
          query: float32 `[batch, dim]`.
          excluded: int32 `[batch, excluded]`, corpus rows or `PADDING`; values outside
            the corpus are ignored.
          width: int32 scalar, movies of each row, at most the size of the corpus.
          filters: What may be recommended; None for everything.

        Returns:
          Scores, float32, and corpus rows, int32, each `[batch, width]`, best first.
          Where fewer movies are left, the row ends in scores of minus infinity.
        """
