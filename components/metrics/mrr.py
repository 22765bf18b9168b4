"""Mean reciprocal rank."""

from __future__ import annotations

import numpy as np

from components.metrics.base import AccuracyMetric, FloatArray, Ranks


class Mrr(AccuracyMetric):
    """One over the rank of the user's best ranked held-out movie.

        rr(u) = 1 / min over held-out movies of u of their rank
                0 where none of them can ever be shown

    Source: Voorhees, "The TREC-8 Question Answering Track Report", 1999.
    """

    name = "mrr"

    def value(self, batch: Ranks) -> FloatArray:
        """float64 `[queries]`, from 0 to 1."""
        hits = batch.hits(np.iinfo(np.int32).max)
        return np.where(hits, 1 / np.maximum(batch.rank, 1.0), 0.0).max(axis=1)
