"""Mean average precision at k."""

from __future__ import annotations

import numpy as np

from components.metrics.base import CutoffMetric, FloatArray, Ranks


class MeanAveragePrecision(CutoffMetric):
    """Precision at each hit among the first k, averaged over the possible hits.

        ap@k(u) = 1 / min(k, |held-out of u|) * sum over j with r_j <= k of j / r_j

    where r_j is the rank of the j-th best held-out movie of u. Two held-out movies with
    tied scores share the rank of the later: each j is used once, so that a tie is never
    worth more than any order of the tied movies.

    Source: Manning, Raghavan and Schütze, "Introduction to Information Retrieval",
    section 8.4, truncated at k.
    """

    base_name = "map"

    def value(self, batch: Ranks) -> FloatArray:
        """float64 `[queries]`, from 0 to 1."""
        never = np.iinfo(np.int32).max
        rank = np.sort(np.where(batch.hits(self.k), batch.rank, never), axis=1)
        precision = np.arange(1, rank.shape[1] + 1) / rank
        total = np.where(rank < never, precision, 0.0).sum(axis=1)
        return np.asarray(total / batch.num_relevant(self.k))
