"""Exact top-k by brute force."""

from __future__ import annotations

from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.ranking import candidate_mask
from trainer.retrieval_index.base import Attributes, Filters, RetrievalIndex

_BYTES_PER_MOVIE: Final = 40  # scores and masks of a query


class BruteForceIndex(RetrievalIndex):
    """The embedded corpus, searched by one matrix product and a top-k.

    Args:
      embeddings: float32 `[num_movies + 1, dim]`, the unknown movie last.
      attributes: What filters read of the movies.
    """

    is_exact = True

    def __init__(self, embeddings: NDArray[np.float32], attributes: Attributes) -> None:
        super().__init__(embeddings)
        self.bytes_per_query = _BYTES_PER_MOVIE * self.num_movies
        self._genres, self._years = map(tf.constant, attributes)

    def best(
        self,
        query: tf.Tensor,
        excluded: tf.Tensor,
        width: tf.Tensor,
        filters: Filters | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `RetrievalIndex.best`."""
        scores = self.scores(query)
        listed = candidate_mask(tf.shape(scores), excluded)
        listed &= tf.math.is_finite(scores)
        if filters is not None:
            listed &= filters.expanded(2).allow(self._genres, self._years)
        scores, index = tf.math.top_k(tf.where(listed, scores, -float("inf")), width)
        return scores, index
