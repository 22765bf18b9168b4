"""Normalised discounted cumulative gain at k."""

from __future__ import annotations

import numpy as np

from components.metrics.base import CutoffMetric, FloatArray, Ranks


class Ndcg(CutoffMetric):
    """Hits among the first k, discounted by their rank, relative to the best ranking.

        dcg@k(u)  = sum over held-out movies of u with rank r <= k of 1 / log2(r + 1)
        idcg@k(u) = sum over r = 1 .. min(k, |held-out of u|)      of 1 / log2(r + 1)
        ndcg@k(u) = dcg@k(u) / idcg@k(u)

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques",
    ACM TOIS 20(4), 2002, with binary relevance.
    """

    base_name = "ndcg"

    def value(self, batch: Ranks) -> FloatArray:
        """float64 `[queries]`, from 0 to 1."""
        # A rank of 1 stands in where there is no hit: its gain is not counted.
        rank = np.where(batch.hits(self.k), batch.rank, 1)
        gain = np.where(batch.hits(self.k), 1 / np.log2(rank + 1.0), 0.0).sum(axis=1)
        num_relevant = batch.num_relevant(self.k)
        ideal = np.cumsum(1 / np.log2(np.arange(2.0, num_relevant.max(initial=1) + 2)))
        return np.asarray(gain / ideal[num_relevant - 1])
