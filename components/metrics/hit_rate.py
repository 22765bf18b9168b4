"""Hit rate at k."""

from __future__ import annotations

from components.metrics.base import CutoffMetric, FloatArray, Ranks


class HitRate(CutoffMetric):
    """Share of users for whom at least one held-out movie is among the first k.

        hit_rate@k(u) = 1 if any held-out movie of u has rank <= k, else 0

    With one held-out movie per user it equals recall@k.

    Source: Deshpande and Karypis, "Item-Based Top-N Recommendation Algorithms", ACM
    TOIS 22(1), 2004, section 5.2.
    """

    base_name = "hit_rate"

    def value(self, batch: Ranks) -> FloatArray:
        """float64 `[queries]`: 1 for a hit, else 0."""
        return batch.hits(self.k).any(axis=1).astype(float)
