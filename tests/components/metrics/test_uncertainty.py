"""Confidence intervals, against known values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.metrics import uncertainty

Z95 = uncertainty.two_sided(0.95)


def test_the_interval_of_a_hit_rate_is_wilsons():
    # https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval
    hits = np.repeat([1.0, 0.0], [7, 13])
    error = hits.std() / math.sqrt(20)
    found = uncertainty.fraction_interval(hits.mean(), error, 20, Z95)
    assert found == pytest.approx((0.18119, 0.56714), abs=1e-4)
    none = uncertainty.fraction_interval(0.0, 0.0, 12, Z95)
    assert none == pytest.approx((0.0, 0.24249), abs=1e-4)
    assert uncertainty.fraction_interval(1.0, 0.0, 12, Z95)[1] == 1.0
    assert all(map(math.isnan, uncertainty.fraction_interval(math.nan, 1, 0, Z95)))
