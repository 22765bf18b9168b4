"""Standard errors of paired differences and ratios, against bootstraps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.metrics.paired import PairedSums

RNG = np.random.default_rng(5)


def sums_of(*rankers: np.ndarray) -> PairedSums:
    sums = PairedSums.zero(1, len(rankers))
    values = np.array([rankers])
    # In two parts, as from two workers.
    sums.add(values[..., :5])
    rest = PairedSums.zero(1, len(rankers))
    rest.add(values[..., 5:])
    sums.merge(rest)
    return sums


def gains(size: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Values of two rankers for the same queries, which have much in common."""
    common = RNG.random(size)
    return np.clip(common + 0.1 * RNG.random(size), 0, 1), common * RNG.random(size)


def bootstrap(statistic, *columns: np.ndarray) -> float:
    size = len(columns[0])
    draws = RNG.integers(0, size, (2000, size))
    return float(np.std([statistic(*(c[draw] for c in columns)) for draw in draws]))


def test_the_error_of_a_difference_is_that_of_a_bootstrap_over_queries():
    own, other = gains()
    found = sums_of(own, other).difference(0, 0, 1)
    assert found.mean == pytest.approx((own - other).mean())
    expected = bootstrap(lambda a, b: (a - b).mean(), own, other)
    assert found.standard_error == pytest.approx(expected, rel=0.08)
    assert found.adjusted_error == pytest.approx(found.standard_error, rel=0.08)
    # Paired: as if independent, the error would be larger.
    assert found.standard_error < 0.95 * math.hypot(own.std() / 20, other.std() / 20)


def test_the_error_of_a_ratio_is_that_of_a_bootstrap_over_queries():
    own, popular = gains()
    ratio, error = sums_of(own, popular).ratio(0, 0, 1)
    assert ratio == pytest.approx(own.mean() / popular.mean())
    expected = bootstrap(lambda a, b: a.mean() / b.mean(), own, popular)
    assert error == pytest.approx(expected, rel=0.1)


def test_twelve_users_who_agree_prove_nothing():
    same = np.zeros(12)
    difference = sums_of(same, same).difference(0, 0, 1)
    assert difference.standard_error == 0
    assert difference.adjusted_error > 0.09
