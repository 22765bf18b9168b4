"""Diversity and divergence of genres at k."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.metrics.base import FloatArray, MeanMetric, QueryBatch, WithCutoff


class _GenreMetric(WithCutoff, MeanMetric):
    """Reads what the model computed for each beginning of its list.

    NaN where the model lists fewer than k movies, or does not compute it.
    """

    def _at_k(self, batch: QueryBatch, values: NDArray[np.float32]) -> FloatArray:
        if not batch.lists_top(self.k):
            return np.full(len(batch), np.nan)
        return values[:, min(self.k, values.shape[1]) - 1].astype(float)


class GenreDiversity(_GenreMetric):
    """How different the genres of the first k movies are, from 0 to 1.

        genre_diversity@k(u) = mean over pairs of top k(u) of 1 - cosine of their genres

    Source: Smyth and McClave, "Similarity vs. Diversity", ICCBR 2001: intra-list
    diversity. `trainer.genre_balance.genre_diversity` computes it.
    """

    base_name = "genre_diversity"
    is_fraction = True

    def value(self, batch: QueryBatch) -> FloatArray:
        """float64 `[queries]`, from 0 to 1."""
        return self._at_k(batch, batch.genre_diversity)


class GenreDivergence(_GenreMetric):
    """How far the genres of the first k movies are from those of the history, in nats.

        genre_divergence@k(u) = KL(genres of the history of u, genres of top k(u))

    Lower is better calibrated; 0 without a history. Source: Steck, "Calibrated
    Recommendations", RecSys 2018. `trainer.genre_balance.genre_divergence` computes it.
    """

    base_name = "genre_divergence"
    is_fraction = False
    lower_is_better = True

    def value(self, batch: QueryBatch) -> FloatArray:
        """float64 `[queries]`, nats."""
        return self._at_k(batch, batch.genre_divergence)
