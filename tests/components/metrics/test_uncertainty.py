"""Intervals and decisions beyond noise, against bootstraps and known values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.metrics import uncertainty
from components.metrics.base import QueryBatch
from components.metrics.coverage import Coverage
from components.metrics.margins import Rule, rule_named
from components.metrics.moments import Moments
from components.metrics.popularity_lift import popularity_lift

Z95 = uncertainty.two_sided(0.95)
RNG = np.random.default_rng(5)


def moments_of(*rankers: np.ndarray) -> Moments:
    moments = Moments.zero(1, len(rankers))
    values = np.array([rankers])
    # In two parts, as from two workers.
    moments.add(values[..., :5])
    rest = Moments.zero(1, len(rankers))
    rest.add(values[..., 5:])
    moments.merge(rest)
    return moments


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
    found = moments_of(own, other).contrast(0, [1.0, -1.0])
    assert found.mean == pytest.approx((own - other).mean())
    expected = bootstrap(lambda a, b: (a - b).mean(), own, other)
    assert found.standard_error == pytest.approx(expected, rel=0.08)
    assert found.cautious_error == pytest.approx(found.standard_error, rel=0.08)
    # Paired: as if independent, the error would be larger.
    assert found.standard_error < 0.95 * math.hypot(own.std() / 20, other.std() / 20)


def test_the_error_of_a_lift_is_that_of_a_bootstrap_over_queries():
    own, popular = gains()
    lift = popularity_lift(moments_of(own, popular), 0)
    assert lift.value == pytest.approx(own.mean() / popular.mean())
    expected = bootstrap(lambda a, b: a.mean() / b.mean(), own, popular)
    assert lift.standard_error == pytest.approx(expected, rel=0.1)


def test_twelve_users_who_agree_prove_nothing():
    same = np.zeros(12)
    assert moments_of(same, same).contrast(0, [1.0, -1.0]).standard_error == 0
    assert moments_of(same, same).contrast(0, [1.0, -1.0]).cautious_error > 0.09


def test_the_interval_of_a_hit_rate_is_wilsons():
    # https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval
    hits = np.repeat([1.0, 0.0], [7, 13])
    own = moments_of(hits, hits).contrast(0, [1.0])
    found = uncertainty.fraction_interval(own.mean, own.standard_error, 20, Z95)
    assert found == pytest.approx((0.18119, 0.56714), abs=1e-4)
    none = uncertainty.fraction_interval(0.0, 0.0, 12, Z95)
    assert none == pytest.approx((0.0, 0.24249), abs=1e-4)
    assert uncertainty.fraction_interval(1.0, 0.0, 12, Z95)[1] == 1.0
    assert all(map(math.isnan, uncertainty.fraction_interval(math.nan, 1, 0, Z95)))


def test_the_error_of_coverage_is_the_jackknifes():
    top_ids = np.array([[0, 1], [0, 2], [3, 4], [0, -1]], np.int32)

    def batch(rows: np.ndarray) -> QueryBatch:
        ones = np.ones((len(rows), 1), np.int32)
        size = np.full(len(rows), 10, np.int32)
        return QueryBatch(ones, ones, rows, rows.astype(np.float32), size, ones)

    metric = Coverage(2)
    state = metric.merge(
        metric.add(metric.start(), batch(top_ids[:1])),
        metric.add(metric.add(metric.start(), batch(top_ids[1:2])), batch(top_ids[2:])),
    )
    assert metric.value(state) == 0.5
    without = [
        len(set(np.delete(top_ids, user, axis=0).ravel().tolist()) - {-1}) / 10
        for user in range(4)
    ]
    jackknife = math.sqrt(3 / 4 * ((without - np.mean(without)) ** 2).sum())
    assert metric.standard_error(state) == pytest.approx(jackknife)


def margin(rule: Rule, own, popular, live=None) -> float:
    rankers = [own, popular] if live is None else [own, popular, live]
    return rule.margin(moments_of(*rankers), 0, is_fraction=True)


def ones(count: int, size: int) -> np.ndarray:
    return np.repeat([1.0, 0.0], [count, size - count])


def test_a_copy_of_popularity_is_never_better_than_it():
    values = RNG.random(1000)
    for bound in (1.0, 1.1):
        rule = Rule("lift", "mrr", bound, 0.95, "overall")
        assert margin(rule, values, values) < 0


@pytest.mark.parametrize(("size", "passes"), [(10, False), (1000, True)])
def test_a_gain_over_popularity_must_be_beyond_noise(size, passes):
    rule = Rule("lift", "mrr", 1.1, 0.95, "overall")
    own, popular = ones(size * 3 // 10, size), ones(size * 2 // 10, size)
    assert (margin(rule, own, popular) >= 0) == passes


def test_a_lift_must_be_reached_however_certain_the_gain():
    own, popular = ones(210, 1000), ones(200, 1000)
    assert margin(Rule("lift", "mrr", 1.04, 0.95, "overall"), own, popular) > 0
    assert margin(Rule("lift", "mrr", 1.1, 0.95, "overall"), own, popular) < 0


@pytest.mark.parametrize(
    ("lost", "size", "bound", "passes"),
    [
        (1, 20, 0.01, True),  # 5 % less, but one user is noise
        (50, 1000, 0.01, False),  # 5 % less of a thousand users is not
        (50, 1000, 0.06, True),  # unless that much is accepted
        (9, 1000, 0.01, True),
    ],
)
def test_a_loss_counts_beyond_the_bound_and_beyond_noise(lost, size, bound, passes):
    live = ones(size // 2, size)
    own = ones(size // 2 - lost, size)
    for scope in ("overall", "slice"):
        rule = Rule("change", "mrr", bound, 0.95, scope)
        assert (margin(rule, own, live, live) >= 0) == passes


@pytest.mark.parametrize(("size", "passes"), [(12, True), (1200, False)])
def test_a_slice_is_refused_only_beyond_noise(size, passes):
    own, popular = ones(size // 12, size), ones(size // 6, size)
    for kind in ("lift", "floor"):
        bound = {"lift": 1.0, "floor": 0.15}[kind]
        rule = Rule(kind, "mrr", bound, 0.99, "slice")
        assert (margin(rule, own, popular) >= 0) == passes


@pytest.mark.parametrize("kind", ["floor", "lift", "change"])
@pytest.mark.parametrize("scope", ["overall", "slice"])
def test_a_rule_is_known_by_its_name_and_never_met_without_queries(kind, scope):
    rule = Rule(kind, "ndcg@10", 0.1, 0.95, scope)
    assert rule_named(rule.name) == rule
    assert math.isnan(rule.margin(Moments.zero(1, 3), 0, is_fraction=True))
    assert rule_named("ndcg@10") is None
