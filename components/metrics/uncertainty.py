"""Confidence intervals of means, from their standard errors.

No bootstrap: resampling 943 queries a thousand times estimates the very standard error
that the sums of squares give exactly, and costs three times the evaluation.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """Where the true value is, with the confidence that was asked for."""

    low: float
    high: float


def one_sided(confidence: float) -> float:
    """Standard errors beyond which noise alone goes with `1 - confidence`."""
    return NormalDist().inv_cdf(confidence)


def two_sided(confidence: float) -> float:
    """Standard errors to either side that hold the share `confidence`."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def normal_interval(mean: float, error: float, quantile: float) -> Interval:
    """The interval of a difference, a ratio or a mean without bounds."""
    return Interval(mean - quantile * error, mean + quantile * error)


def fraction_interval(
    mean: float, error: float, count: int, quantile: float
) -> Interval:
    """The interval of a mean of values from 0 to 1: Wilson's score interval.

    It stays within 0 and 1, and is as wide as it must be where all values are equal: no
    hit among 12 users says that the hit rate is below 0.24, not that it is 0.

    Args:
      mean: The mean.
      error: Its standard error.
      count: Number of values.
      quantile: See `two_sided`.

    Returns:
      For values of only 0 and 1 Wilson's interval itself. Others vary less, which
      counts as if there were more of them.

    Source: Wilson, "Probable inference, the law of succession, and statistical
    inference", JASA 22, 1927; with the effective sample size of Korn and Graubard,
    "Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data", Survey Methodology 24(2), 1998.
    """
    if not count:
        return Interval(math.nan, math.nan)
    size = max(mean * (1 - mean) / error**2, count) if error else float(count)
    z2 = quantile**2
    centre = (mean + z2 / (2 * size)) / (1 + z2 / size)
    spread = mean * (1 - mean) / size + z2 / (4 * size**2)
    half = quantile / (1 + z2 / size) * math.sqrt(max(spread, 0.0))
    return Interval(max(centre - half, 0.0), min(centre + half, 1.0))
