"""Approximate top-k by an inverted file, in operations that TensorFlow Serving has."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.blocks import in_blocks, rows_per_block
from trainer.ranking import PADDING
from trainer.retrieval_index.base import Attributes, Filters, Search
from trainer.retrieval_index.brute_force import BruteForceIndex
from trainer.retrieval_index.leaves import euclidean, make_leaves

# A row for which the probed leaves have fewer allowed movies than this many times the
# movies asked for is searched exactly: the best of what a strict filter leaves may be
# in any leaf.
_ENOUGH: Final = 20
_LEAF_SIZE: Final = 256
# Of the rows of a batch that are searched at once. Larger tensors than 32 MiB are new
# memory in each call, which takes longer to provide than to fill.
_BLOCK_BYTES: Final = 16 << 20
_MOVIES_PER_CELL: Final = 512
_BYTES_PER_SLOT: Final = 24  # of a probed leaf, beside the embedding


class IvfParameters(NamedTuple):
    """Shape of the index.

    Attributes:
      cells: Cells of k-means.
      capacity: Movies of a leaf at most.
      probes: Leaves that are searched for each query.
    """

    cells: int
    capacity: int
    probes: int

    @classmethod
    def of(cls, num_movies: int, cells: int | None, probes: int) -> IvfParameters:
        """Chooses what is None by the size of the corpus."""
        cells = cells or max(num_movies // _MOVIES_PER_CELL, 1)
        return cls(min(cells, num_movies), _LEAF_SIZE, probes)


class IvfIndex(BruteForceIndex):
    """Leaves of similar movies, of which only the most promising are searched.

    Args:
      embeddings: float32 `[num_movies + 1, dim]`, the unknown movie last.
      attributes: What filters read of the movies.
      parameters: Shape of the index.
      seed: Seed of k-means.
    """

    kind = "ivf"
    is_exact = False

    def __init__(
        self,
        embeddings: NDArray[np.float32],
        attributes: Attributes,
        parameters: IvfParameters,
        seed: int,
    ) -> None:
        super().__init__(embeddings, attributes)
        movies = embeddings[:-1]
        # A movie without a finite embedding is in a leaf, but never listed.
        is_finite = np.isfinite(movies).all(axis=1)
        finite = movies if is_finite.all() else movies * 1
        finite[~is_finite] = 0
        leaves = make_leaves(finite, parameters.cells, parameters.capacity, seed)
        self.num_leaves, self._capacity = len(leaves), max(map(len, leaves))
        self._probes = min(parameters.probes, self.num_leaves)
        self.parameters = {
            "leaves": self.num_leaves,
            "capacity": self._capacity,
            "probes": self._probes,
        }
        slots = np.full((self.num_leaves, self._capacity), self.num_movies, np.int32)
        for leaf, rows in enumerate(leaves):
            slots[leaf, : len(rows)] = rows
        place = np.empty(self.num_movies, np.int32)
        is_movie = slots < self.num_movies
        place[slots[is_movie]] = np.flatnonzero(is_movie)
        self._rows, self._place = tf.Variable(slots), tf.Variable(place)
        self._directions, self._offsets = map(tf.constant, _centres(finite, leaves))
        self._sizes = tf.constant([len(rows) for rows in leaves], tf.int32)
        self._keep_leaves(embeddings, slots)
        self.bytes_per_query = 4 * self.num_leaves + self._probes * self._capacity * (
            4 * self.dim + _BYTES_PER_SLOT
        )

    def _keep_leaves(
        self, embeddings: NDArray[np.float32], slots: NDArray[np.int32]
    ) -> None:
        self._leaves = tf.Variable(embeddings[slots], trainable=False)

    def best(
        self,
        query: tf.Tensor,
        excluded: tf.Tensor,
        width: tf.Tensor,
        filters: Filters | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `RetrievalIndex.best`."""
        search = Search(query, excluded, width, filters)
        batch = tf.shape(query)[0]
        block = max(_BLOCK_BYTES // self.bytes_per_query, 1)

        def in_small_blocks() -> list[tf.Tensor]:
            return in_blocks(
                lambda rows: self._in_leaves(search.of(tf.range(batch)[rows])),
                batch,
                tf.constant(block),
                [(tf.float32, width), (tf.int32, width)],
            )

        best, index = tf.cond(
            batch <= block, lambda: [*self._in_leaves(search)], in_small_blocks
        )
        return best, index

    def _in_leaves(self, search: Search) -> tuple[tf.Tensor, tf.Tensor]:
        """Does what `best` does, with all rows in memory at once."""
        query, excluded, width, filters = search
        probed = self._probed(query)
        scores = self._scores_in(probed, query)
        scores = self._without(scores, probed, excluded)
        if filters is not None:
            scores = self._filtered(scores, probed, filters)
        scores = tf.where(tf.math.is_finite(scores), scores, -float("inf"))
        found = tf.cast(scores > -float("inf"), tf.int32)
        lacking = tf.reduce_sum(found, axis=1) < _ENOUGH * width
        found = tf.minimum(width, self._probes * self._capacity)
        best, place = self._top(scores, probed, query, found)
        missing = [[0, 0], [0, width - found]]
        best = tf.pad(best, missing, constant_values=-float("inf"))
        index = tf.pad(self._rows_at(probed, place), missing)
        index = tf.minimum(index, self.num_movies - 1)
        return tf.cond(
            tf.reduce_any(lacking),
            lambda: self._completed(best, index, lacking, search),
            lambda: (best, index),
        )

    def _probed(self, query: tf.Tensor) -> tf.Tensor:
        """Returns the leaves to search: int32 `[batch, probes]`."""
        # Scaled to the length of the extended points, the query has the same nearest
        # neighbours at any length of its own.
        query = tf.math.l2_normalize(query, axis=1, epsilon=1e-30)
        nearness = tf.matmul(query, self._directions, transpose_b=True) + self._offsets
        return tf.math.top_k(nearness, self._probes, sorted=False).indices

    def _scores_in(self, probed: tf.Tensor, query: tf.Tensor) -> tf.Tensor:
        """Scores the slots of the probed leaves: `[batch, probes * capacity]`."""
        shape = [tf.shape(query)[0], self._probes * self._capacity]
        leaves = tf.reshape(self._gathered(probed), [*shape, self.dim])
        scores = tf.linalg.matvec(leaves, query)
        used = tf.gather(self._sizes, probed)[:, :, tf.newaxis]
        listed = tf.reshape(tf.range(self._capacity) < used, shape)
        return tf.where(listed, scores, -float("inf"))

    def _gathered(self, probed: tf.Tensor) -> tf.Tensor:
        """Looks up the leaves' embeddings: float32 `[batch, probes, capacity, dim]`."""
        return tf.gather(self._leaves.read_value(), probed)

    def _without(
        self, scores: tf.Tensor, probed: tf.Tensor, excluded: tf.Tensor
    ) -> tf.Tensor:
        """Strikes out the excluded movies that are in probed leaves."""
        in_corpus = (excluded >= 0) & (excluded < self.num_movies)
        place = tf.gather(self._place.read_value(), tf.where(in_corpus, excluded, 0))
        leaf = tf.where(in_corpus, place // self._capacity, PADDING)
        hit = tf.where(leaf[:, :, tf.newaxis] == probed[:, tf.newaxis, :])
        row, number, probe = tf.unstack(tf.cast(hit, tf.int32), axis=1)
        slot = tf.gather_nd(place, tf.stack([row, number], 1)) % self._capacity
        column = probe * self._capacity + slot
        struck = tf.fill(tf.shape(row), -float("inf"))
        return tf.tensor_scatter_nd_update(scores, tf.stack([row, column], 1), struck)

    def _filtered(
        self, scores: tf.Tensor, probed: tf.Tensor, filters: Filters
    ) -> tf.Tensor:
        """Strikes out what the filters do not allow."""

        def allowed_only() -> tf.Tensor:
            rows = tf.gather(self._rows.read_value(), probed)
            rows = tf.minimum(rows, self.num_movies - 1)
            genres, years = tf.gather(self._genres, rows), tf.gather(self._years, rows)
            allowed = filters.expanded(3).allow(genres, years)
            return tf.where(
                tf.reshape(allowed, tf.shape(scores)), scores, -float("inf")
            )

        is_set = tf.reduce_any(tf.stack(filters) != 0)
        return tf.cond(is_set, allowed_only, lambda: scores)

    def _rows_at(self, probed: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        """Returns the corpus rows of some columns of `_scores_in`."""
        leaf = tf.gather(probed, column // self._capacity, batch_dims=1)
        slot = leaf * self._capacity + column % self._capacity
        return tf.gather(tf.reshape(self._rows.read_value(), [-1]), slot)

    def _top(
        self, scores: tf.Tensor, probed: tf.Tensor, query: tf.Tensor, width: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best scores and their columns, each `[batch, width]`."""
        del probed, query  # of use where `scores` are not exact
        return tf.math.top_k(scores, width)

    def _completed(
        self, best: tf.Tensor, index: tf.Tensor, lacking: tf.Tensor, search: Search
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Searches some rows of the batch exactly."""
        rows = tf.cast(tf.where(lacking)[:, 0], tf.int32)
        exact = in_blocks(
            lambda block: self.exact(search.of(rows[block])),
            tf.size(rows),
            rows_per_block(self.bytes_per_exact_query),
            [(tf.float32, search.width), (tf.int32, search.width)],
        )
        best, index = (
            tf.tensor_scatter_nd_update(whole, rows[:, tf.newaxis], part)
            for whole, part in zip((best, index), exact, strict=True)
        )
        return best, index


def _centres(
    movies: NDArray[np.float32], leaves: list[NDArray[np.int32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns by what leaves are chosen.

    The nearer a leaf is to a query q, the larger is `q c - |c|^2 / 2`, where q is as
    long as the extended points are, and c is the mean of those in the leaf.

    Returns:
      float32 `[leaves, dim]`: M times the mean without its last coordinate, which is 0
      in every query; and float32 `[leaves]`: what is added to the product with a query
      of length 1.
    """
    points = euclidean(movies)
    means = np.stack([points[rows].mean(axis=0) for rows in leaves])
    length = np.float32(np.linalg.norm(points[0]))
    return length * means[:, :-1], -0.5 * np.einsum("ld,ld->l", means, means)
