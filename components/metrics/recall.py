"""Recall at k."""

from __future__ import annotations

from components.metrics.base import CutoffMetric, FloatArray, Ranks


class Recall(CutoffMetric):
    """Share of the held-out movies among the first k, of those that could be there.

        recall@k(u) = |held-out of u with rank <= k| / min(k, |held-out of u|)

    The minimum keeps 1 within reach of a user with more than k held-out movies.

    Source: Liang et al., "Variational Autoencoders for Collaborative Filtering",
    WWW 2018, section 4.2.
    """

    base_name = "recall"

    def value(self, batch: Ranks) -> FloatArray:
        """float64 `[queries]`, from 0 to 1."""
        return batch.hits(self.k).sum(axis=1) / batch.num_relevant(self.k)
