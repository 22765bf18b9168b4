"""Lift of an accuracy metric over the popularity baseline."""

from __future__ import annotations

from typing import Final

from components.metrics.base import AccuracyMetric, Metric, QueryBatch, mean

LIFT_PREFIX: Final = "popularity_lift/"
POPULARITY_PREFIX: Final = "popularity/"


class PopularityLift(Metric):
    """How many times better than ranking by popularity, by another metric.

        popularity_lift/m = m of the model / m of the popularity ranking

    The popularity ranking orders the same candidates by their number of training
    events, seen movies excluded alike, ties against it alike. Infinite where only
    popularity scores 0, and 0 where both do: a model without a hit has no lift.

    Also yields `popularity/m`, the baseline's own value.

    Source of the baseline: Ferrari Dacrema, Cremonesi and Jannach, "Are We Really
    Making Much Progress?", RecSys 2019, "TopPopular".
    """

    def __init__(self, of: AccuracyMetric) -> None:
        """Makes the lift of the metric `of`."""
        (name,) = of.names
        self.names = (LIFT_PREFIX + name, POPULARITY_PREFIX + name)
        self.of = of

    def start(self) -> tuple[float, float]:
        """No sums yet: the model's and popularity's."""
        return 0.0, 0.0

    def add(self, state: tuple[float, float], batch: QueryBatch) -> tuple[float, float]:
        """Adds the batch's values, as both rank it."""
        model, popularity = state
        return self.of.add(model, batch), self.of.add(popularity, batch.by_popularity())

    def merge(
        self, first: tuple[float, float], second: tuple[float, float]
    ) -> tuple[float, float]:
        """Adds both pairs of sums."""
        return first[0] + second[0], first[1] + second[1]

    def results(
        self, state: tuple[float, float], num_queries: int
    ) -> tuple[float, ...]:
        """The lift and popularity's value; NaN without a query."""
        model, popularity = (mean(total, num_queries) for total in state)
        if popularity == 0:
            return (float("inf") if model > 0 else 0.0), popularity
        return model / popularity, popularity
