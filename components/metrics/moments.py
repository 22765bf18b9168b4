"""What is kept of the queries: sums and products, from which every decision follows.

The candidate, popularity and the live model rank the same queries. Their values of one
query are kept together, because whether a model is better is a question about the
differences per query: users who are easy for one model are easy for all, and that part
of the noise cancels out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from components.metrics.base import FloatArray

# Places of the rankers in what follows.
CANDIDATE: Final = 0
POPULARITY: Final = 1
BASELINE: Final = 2


@dataclasses.dataclass(frozen=True)
class Contrast:
    """A weighted sum of the rankers' values per query, such as candidate - baseline.

    Attributes:
      count: Queries.
      total: Sum over queries.
      total_of_squares: Sum of squares over queries.
      lowest: Least that a query can give, for values from 0 to 1.
      highest: Most that a query can give.
    """

    count: int
    total: float
    total_of_squares: float
    lowest: float
    highest: float

    @property
    def mean(self) -> float:
        """NaN without a query."""
        return self.total / self.count if self.count else math.nan

    @property
    def standard_error(self) -> float:
        """Of the mean: s / sqrt(n), s the standard deviation of the queries at hand."""
        if not self.count:
            return math.nan
        variance = self.total_of_squares / self.count - self.mean**2
        return math.sqrt(max(variance, 0.0) / self.count)

    @property
    def cautious_error(self) -> float:
        """The standard error, with one more query at either end of what is possible.

        Twelve users for whom two models happen to agree do not prove that the models
        are equal. Two imagined users who disagree wholly do not change what a thousand
        say, and keep a dozen from looking certain.

        Source: Agresti and Coull, "Approximate is better than 'exact' for interval
        estimation of binomial proportions", The American Statistician 52(2), 1998,
        which adds such observations to proportions.
        """
        if not self.count:
            return math.nan
        return Contrast(
            self.count + 2,
            self.total + self.lowest + self.highest,
            self.total_of_squares + self.lowest**2 + self.highest**2,
            self.lowest,
            self.highest,
        ).standard_error


@dataclasses.dataclass
class Moments:
    """First and second moments of metrics by rankers.

    Attributes:
      count: Queries.
      sums: `[metrics, rankers]`.
      products: `[metrics, rankers, rankers]`: sums of products of two rankers' values.
    """

    count: int
    sums: FloatArray
    products: FloatArray

    @classmethod
    def zero(cls, num_metrics: int, num_rankers: int) -> Moments:
        """Before the first query."""
        sums = np.zeros((num_metrics, num_rankers))
        return cls(0, sums, np.zeros((*sums.shape, num_rankers)))

    def add(self, values: FloatArray) -> None:
        """Adds queries: `[metrics, rankers, queries]`."""
        self.count += values.shape[-1]
        self.sums += values.sum(axis=-1)
        self.products += values @ values.transpose(0, 2, 1)

    def merge(self, other: Moments) -> None:
        """Adds another part's queries."""
        self.count += other.count
        self.sums += other.sums
        self.products += other.products

    def contrast(self, metric: int, weights: Sequence[float]) -> Contrast:
        """Returns the weighted sum of the rankers' values of a metric.

        Args:
          metric: Place of the metric.
          weights: `[rankers]`; shorter where the last rankers do not count. A ranker
            without weight may have NaN for values.
        """
        used = [ranker for ranker, weight in enumerate(weights) if weight]
        weight = np.asarray(weights, float)[used]
        return Contrast(
            self.count,
            float(weight @ self.sums[metric, used]),
            float(weight @ self.products[metric][np.ix_(used, used)] @ weight),
            float(weight[weight < 0].sum()),
            float(weight[weight > 0].sum()),
        )
