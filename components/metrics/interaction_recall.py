"""Recall at k over interactions."""

from __future__ import annotations

import math

import numpy as np

from components.metrics.base import AggregateMetric, FloatArray, Ranks, WithCutoff


class InteractionRecall(WithCutoff, AggregateMetric[FloatArray]):
    """Share of all held-out events whose movie is among the first k.

        interaction_recall@k = sum_u hits@k(u) / sum_u |held-out of u|

    Every event has the same weight, so users with many held-out events count for more.
    Apart from ties it is what `FactorizedTopK` of TensorFlow Recommenders reports as
    `factorized_top_k/top_k_categorical_accuracy`.

    Its standard error is that of a ratio of means over users, by linearisation:
    Cochran, "Sampling Techniques", 3rd edition 1977, section 2.11.
    """

    base_name = "interaction_recall"

    def start(self) -> FloatArray:
        """Sums over users: of 1, hits, events, hits^2, hits * events and events^2."""
        return np.zeros(6)

    def add(self, state: FloatArray, batch: Ranks) -> FloatArray:
        """Adds the sums of some queries."""
        hits = batch.hits(self.k).sum(axis=1).astype(float)
        events = np.count_nonzero(batch.rank, axis=1).astype(float)
        products = (hits * hits, hits * events, events * events)
        sums = [column.sum() for column in (hits, events, *products)]
        return state + np.array([len(batch), *sums])

    def merge(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """Adds the sums of both parts."""
        return first + second

    def value(self, state: FloatArray) -> float:
        """From 0 to 1; NaN without a held-out event."""
        _, hits, events, *_ = state
        return float(hits / events) if events else math.nan

    def standard_error(self, state: FloatArray) -> float:
        """NaN with less than two users."""
        users, _, events, hits_squared, hits_events, events_squared = state
        if users < 2:  # noqa: PLR2004 - no spread without two
            return math.nan
        share = self.value(state)
        squared = hits_squared - 2 * share * hits_events + share**2 * events_squared
        return math.sqrt(max(squared, 0.0) * users / (users - 1)) / float(events)
