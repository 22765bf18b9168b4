"""Confidence intervals of means, from their standard errors.

There is no bootstrap: resampling queries estimates the standard error that the sums of
squares give exactly, and would cost three times the evaluation.
"""

from __future__ import annotations

import math
from statistics import NormalDist

Interval = tuple[float, float]


def one_sided(confidence: float) -> float:
    """Returns the quantile of a one-sided bound, in standard errors."""
    return NormalDist().inv_cdf(confidence)


def two_sided(confidence: float) -> float:
    """Returns the quantile of a two-sided interval, in standard errors."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def normal_interval(
    mean: float,
    error: float,
    quantile: float,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Interval:
    """Returns the normal interval of a value between two limits."""
    return max(mean - quantile * error, lowest), min(mean + quantile * error, highest)


def fraction_interval(
    mean: float, error: float, count: float, quantile: float
) -> Interval:
    """Returns Wilson's score interval of a mean of values from 0 to 1.

    It stays within 0 and 1 and has a width even where all values are equal: no hit
    among 12 users means a hit rate below 0.24, not of 0.

    Args:
      mean: The mean.
      error: Its standard error.
      count: Number of values, or of independent values that say as much.
      quantile: See `two_sided`.

    Returns:
      The interval. Values between 0 and 1 vary less than zeros and ones do, which
      counts as a larger number of them (effective sample size).

    Source: Wilson, "Probable inference, the law of succession, and statistical
    inference", JASA 22, 1927; with the effective sample size of Korn and Graubard,
    "Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data", Survey Methodology 24(2), 1998.
    """
    if not count:
        return math.nan, math.nan
    size = max(mean * (1 - mean) / error**2, count) if error else float(count)
    z2 = quantile**2
    centre = (mean + z2 / (2 * size)) / (1 + z2 / size)
    spread = mean * (1 - mean) / size + z2 / (4 * size**2)
    half = quantile / (1 + z2 / size) * math.sqrt(max(spread, 0.0))
    return max(centre - half, 0.0), min(centre + half, 1.0)
