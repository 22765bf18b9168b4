"""Novelty at k."""

from __future__ import annotations

import numpy as np

from components.metrics.base import FloatArray, MeanMetric, QueryBatch, WithCutoff


class Novelty(WithCutoff, MeanMetric):
    """Mean self-information of the first k movies, in bits: how unexpected they are.

        novelty@k(u) = mean over the movies i of top k(u) of -log2 p(i)

    where p(i) is the share of training events that are of movie i, add-one smoothed, as
    the model reports it. 0 for a user without recommendations; NaN where the model
    lists fewer than k movies.

    Source: Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender
    systems", PNAS 107(10), 2010, "surprisal/novelty".
    """

    base_name = "novelty"
    is_fraction = False

    def value(self, batch: QueryBatch) -> FloatArray:
        """float64 `[queries]`, bits."""
        if not batch.lists_top(self.k):
            return np.full(len(batch), np.nan)
        shown = batch.shown(self.k)
        bits = batch.top_self_information[:, : self.k].astype(float)
        total = np.where(shown, bits, 0.0).sum(axis=1)
        return np.asarray(total / np.maximum(shown.sum(axis=1), 1))
