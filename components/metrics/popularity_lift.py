"""Lift of an accuracy metric over the popularity baseline."""

from __future__ import annotations

import math
from typing import NamedTuple

from components.metrics.moments import Moments


class Lift(NamedTuple):
    """How many times better than popularity, with the standard error of that."""

    value: float
    standard_error: float


def popularity_lift(moments: Moments, metric: int) -> Lift:
    """How many times better than ranking by popularity, by another metric.

        popularity_lift/m = m of the model / m of the popularity ranking

    The popularity ranking orders the same candidates by their number of training
    events, seen movies excluded alike, ties against it alike. Infinite where only
    popularity scores 0, and 0 where both do: a model without a hit has no lift.

    The standard error is that of a ratio of two means of the same queries (the delta
    method): of `m of the model - lift * m of popularity`, over the latter.

    Source of the baseline: Ferrari Dacrema, Cremonesi and Jannach, "Are We Really
    Making Much Progress?", RecSys 2019, "TopPopular".

    Args:
      moments: Of queries that both have ranked.
      metric: Place of the accuracy metric.
    """
    model = moments.contrast(metric, [1.0]).mean
    popularity = moments.contrast(metric, [0.0, 1.0]).mean
    if popularity == 0:
        return Lift(math.inf if model > 0 else 0.0, math.nan)
    lift = model / popularity
    error = moments.contrast(metric, [1.0, -lift]).cautious_error
    return Lift(lift, error / popularity)
