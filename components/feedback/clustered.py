"""Means over impressions, with intervals that know that a user has several of them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from components.metrics.uncertainty import fraction_interval, two_sided

CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean of values from 0 to 1, or a difference of two.

    Attributes:
      value: The estimate; NaN without a query.
      low, high: Interval of 95 % confidence.
    """

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float | None]:
        """The values; None for one that is not defined."""
        content = dataclasses.asdict(self)
        return {key: None if math.isnan(v) else v for key, v in content.items()}

    def minus(self, other: Estimate) -> Estimate:
        """Returns the difference from the mean over other queries.

        The intervals of both are combined, which has a width even where neither has a
        hit. Where both are of the same users the interval is too wide, since such users
        make both rates high or low.

        Source: Newcombe, "Interval estimation for the difference between independent
        proportions", Statistics in Medicine 17, 1998, method 10.
        """
        value = self.value - other.value
        below = math.hypot(self.value - self.low, other.high - other.value)
        above = math.hypot(self.high - self.value, other.value - other.low)
        return Estimate(value, max(value - below, -1.0), min(value + above, 1.0))


@dataclass
class ClusterSums:
    """Sums over users of a metric's values; a user is a cluster of queries.

    Attributes:
      sums: Of 1, s, n, s^2, s * n and n^2, where a user has n queries whose values add
        up to s.
    """

    sums: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.zeros(6))

    def add(self, user: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Adds all queries of some users.

        Args:
          user: `[queries]` small indices.
          values: `[queries]` from 0 to 1.
        """
        queries = np.bincount(user).astype(float)
        total = np.bincount(user, weights=values)
        total, queries = total[queries > 0], queries[queries > 0]
        columns = (total, queries, total**2, total * queries, queries**2)
        self.sums += np.array([len(queries), *(column.sum() for column in columns)])

    @property
    def users(self) -> int:
        """Number of users."""
        return int(self.sums[0])

    def estimate(self) -> Estimate:
        """Returns the mean over queries, with an interval by user.

        The mean is a ratio of two sums over users, and its standard error that of
        `s - mean * n` (linearisation: Cochran, "Sampling Techniques", 3rd edition 1977,
        section 2.11). The interval is Wilson's for as many independent queries as would
        have that error (Korn and Graubard 1998, see `fraction_interval`); at most as
        many as there are. Where users do not vary at all, each counts by its share of
        the queries: `(sum n)^2 / sum n^2` users of equal size (Kish, "Survey Sampling",
        1965).
        """
        users, total, queries, squares, products, sizes = self.sums
        if not queries:
            return Estimate(math.nan, math.nan, math.nan)
        mean = min(total / queries, 1.0)
        size = queries**2 / sizes
        spread = squares - 2 * mean * products + mean**2 * sizes
        if users > 1 and spread > 0 and 0 < mean < 1:
            error = math.sqrt(spread * users / (users - 1)) / queries
            size = min(mean * (1 - mean) / error**2, queries)
        low, high = fraction_interval(mean, 0.0, size, two_sided(CONFIDENCE))
        return Estimate(mean, min(low, mean), max(high, mean))
