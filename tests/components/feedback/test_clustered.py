"""Intervals of means over impressions, of which a user has several."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.feedback.clustered import ClusterSums


def sums(user, values) -> ClusterSums:
    found = ClusterSums()
    found.add(np.array(user), np.array(values, float))
    return found


@pytest.mark.parametrize("spread", [0.0, 0.25])
def test_the_interval_holds_the_true_rate_where_users_differ(spread):
    rng = np.random.default_rng(0)
    held, true, trials = 0, 0.3, 600
    for _ in range(trials):
        rate = true + rng.choice([-spread, spread], 40)
        queries = rng.integers(1, 30, 40)
        user = np.repeat(np.arange(40), queries)
        found = sums(user, rng.random(len(user)) < rate[user]).estimate()
        held += found.low <= true <= found.high
    assert 0.925 <= held / trials <= 0.985


def test_one_user_with_many_impressions_is_one_user():
    found = sums([0] * 1000, [1.0] * 1000).estimate()
    assert found.value == 1.0
    assert found.low < 0.25


def test_without_a_hit_the_interval_has_a_width():
    found = sums(range(12), [0.0] * 12).estimate()
    assert (found.low, round(found.high, 2)) == (0.0, 0.24)
    difference = found.minus(found)
    assert -0.25 < difference.low < 0 < difference.high < 0.25


def test_sums_do_not_depend_on_how_users_are_divided():
    rng = np.random.default_rng(1)
    user, values = rng.integers(0, 9, 50), rng.random(50)
    parts = ClusterSums()
    for is_part in (user < 4, user >= 4):
        parts.add(user[is_part], values[is_part])
    assert parts.estimate().low == pytest.approx(sums(user, values).estimate().low)


def test_without_a_query_nothing_is_known():
    assert math.isnan(ClusterSums().estimate().value)
    assert ClusterSums().estimate().as_json()["low"] is None
