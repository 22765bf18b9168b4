"""Means of metrics and their paired differences, with standard errors.

The candidate, popularity and the live model rank the same queries. Sums of products of
their values per query give the standard error of a *paired* difference: what makes a
query easy for one ranker makes it easy for all, and that part of the noise cancels out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from components.metrics.base import FloatArray


@dataclasses.dataclass(frozen=True)
class MeanEstimate:
    """The mean over queries of a weighted sum of rankers' values.

    For example of candidate - live model.

    Attributes:
      count: Number of queries.
      total: Sum over queries.
      total_of_squares: Sum of squares over queries.
      lowest: Least that a query can contribute, for metrics from 0 to 1.
      highest: Most that a query can contribute.
    """

    count: int
    total: float
    total_of_squares: float
    lowest: float
    highest: float

    @property
    def mean(self) -> float:
        """NaN without queries."""
        return self.total / self.count if self.count else math.nan

    @property
    def standard_error(self) -> float:
        """Of the mean: s / sqrt(n), s the standard deviation over the queries."""
        if not self.count:
            return math.nan
        variance = self.total_of_squares / self.count - self.mean**2
        return math.sqrt(max(variance, 0.0) / self.count)

    @property
    def adjusted_error(self) -> float:
        """The standard error with one added query at each end of the possible range.

        Twelve users for whom two models happen to agree do not prove that the models
        are equal. Two imagined users who disagree completely hardly change the error of
        a thousand users, but keep a dozen from looking certain.

        Source: Agresti and Coull, "Approximate is better than 'exact' for interval
        estimation of binomial proportions", The American Statistician 52(2), 1998,
        which adds such observations to proportions.
        """
        if not self.count:
            return math.nan
        return MeanEstimate(
            self.count + 2,
            self.total + self.lowest + self.highest,
            self.total_of_squares + self.lowest**2 + self.highest**2,
            self.lowest,
            self.highest,
        ).standard_error


@dataclasses.dataclass
class PairedSums:
    """Sums over queries of several metrics' values for several rankers.

    Metrics and rankers are numbered. A ranker may have NaN as its values of a metric;
    only what is computed from these is NaN then.

    Attributes:
      count: Number of queries.
      sums: float64 `[metrics, rankers]`.
      products: float64 `[metrics, rankers, rankers]`: sums of products of two rankers'
        values of the same query.
    """

    count: int
    sums: FloatArray
    products: FloatArray

    @classmethod
    def zero(cls, num_metrics: int, num_rankers: int) -> PairedSums:
        """Returns the sums over no queries."""
        sums = np.zeros((num_metrics, num_rankers))
        return cls(0, sums, np.zeros((*sums.shape, num_rankers)))

    def add(self, values: FloatArray) -> None:
        """Adds queries: float64 `[metrics, rankers, queries]`."""
        self.count += values.shape[-1]
        self.sums += values.sum(axis=-1)
        self.products += values @ values.transpose(0, 2, 1)

    def merge(self, other: PairedSums) -> None:
        """Adds the sums over other queries."""
        self.count += other.count
        self.sums += other.sums
        self.products += other.products

    def mean(self, metric: int, ranker: int) -> MeanEstimate:
        """Returns the mean of a metric."""
        return self._weighted(metric, {ranker: 1.0})

    def difference(
        self, metric: int, first: int, second: int, factor: float = 1.0
    ) -> MeanEstimate:
        """Returns the paired difference `first - factor * second` of two rankers."""
        return self._weighted(metric, {first: 1.0, second: -factor})

    def ratio(self, metric: int, first: int, second: int) -> tuple[float, float]:
        """Returns mean of `first` / mean of `second`, and its standard error.

        Infinite where only `second` is 0; 0 where both are. The standard error is that
        of a ratio of two means over the same queries, by the delta method: of
        `first - ratio * second`, over the mean of `second`.
        """
        above, below = self.mean(metric, first).mean, self.mean(metric, second).mean
        if below == 0:
            return (math.inf if above > 0 else 0.0), math.nan
        error = self.difference(metric, first, second, above / below).adjusted_error
        return above / below, error / below

    def _weighted(self, metric: int, weights: Mapping[int, float]) -> MeanEstimate:
        used = sorted(ranker for ranker, weight in weights.items() if weight)
        weight = np.array([weights[ranker] for ranker in used])
        return MeanEstimate(
            self.count,
            float(weight @ self.sums[metric, used]),
            float(weight @ self.products[metric][np.ix_(used, used)] @ weight),
            float(weight[weight < 0].sum()),
            float(weight[weight > 0].sum()),
        )
