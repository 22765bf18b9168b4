"""Decisions beyond noise: margins of thresholds, on values made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.evaluator.config import EvalConfig, SliceThresholds
from components.evaluator.results import SliceResult
from components.evaluator.thresholds import Threshold, thresholds_of
from components.metrics.paired import PairedSums

RNG = np.random.default_rng(5)


def margin(threshold: Threshold, *rankers: np.ndarray) -> float:
    """Of the candidate, popularity and, if given, the live model."""
    sums = PairedSums.zero(1, len(rankers))
    sums.add(np.array([rankers]))
    return threshold.margin(sums, 0, is_fraction=True)


def ones(count: int, size: int) -> np.ndarray:
    return np.repeat([1.0, 0.0], [count, size - count])


def test_a_copy_of_popularity_is_never_better_than_it():
    values = RNG.random(1000)
    for bound in (1.0, 1.1):
        threshold = Threshold("lift", "mrr", bound, 0.95, "")
        assert margin(threshold, values, values) < 0


@pytest.mark.parametrize(("size", "passes"), [(10, False), (1000, True)])
def test_a_gain_over_popularity_must_be_beyond_noise(size, passes):
    threshold = Threshold("lift", "mrr", 1.1, 0.95, "")
    own, popular = ones(size * 3 // 10, size), ones(size * 2 // 10, size)
    assert (margin(threshold, own, popular) >= 0) == passes


def test_a_lift_must_be_reached_however_certain_the_gain():
    own, popular = ones(210, 1000), ones(200, 1000)
    assert margin(Threshold("lift", "mrr", 1.04, 0.95, ""), own, popular) > 0
    assert margin(Threshold("lift", "mrr", 1.1, 0.95, ""), own, popular) < 0


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
    for where in ("", "activity"):
        threshold = Threshold("change", "mrr", bound, 0.95, where)
        assert (margin(threshold, own, live, live) >= 0) == passes


@pytest.mark.parametrize(("size", "passes"), [(12, True), (1200, False)])
def test_a_slice_is_refused_only_beyond_noise(size, passes):
    own, popular = ones(size // 12, size), ones(size // 6, size)
    for kind in ("lift", "floor"):
        bound = {"lift": 1.0, "floor": 0.15}[kind]
        threshold = Threshold(kind, "mrr", bound, 0.99, "activity")
        assert (margin(threshold, own, popular) >= 0) == passes


@pytest.mark.parametrize("kind", ["floor", "lift", "change"])
@pytest.mark.parametrize("where", ["", "activity"])
def test_a_threshold_is_never_met_without_queries(kind, where):
    threshold = Threshold(kind, "ndcg@10", 0.1, 0.95, where)
    assert math.isnan(threshold.margin(PairedSums.zero(1, 3), 0, is_fraction=True))


def test_every_threshold_of_the_configuration_is_checked_where_it_holds():
    of_slice = SliceThresholds(max_drop={"mrr": 0.02})
    config = EvalConfig(
        floors={"mrr": 0.1},
        min_lift={"mrr": 1.1},
        max_drop={"mrr": 0.01},
        slice_thresholds={"gender=F": of_slice},
        min_index_recall=0.9,
    )
    overall = [
        Threshold("floor", "mrr", 0.1, 0.95),
        Threshold("floor", "index_recall", 0.9, 0.95),
        Threshold("lift", "mrr", 1.1, 0.95),
    ]
    assert thresholds_of(config, has_baseline=False) == overall
    assert thresholds_of(config, has_baseline=True) == [
        *overall,
        Threshold("change", "mrr", 0.01, 0.95),
        Threshold("change", "mrr", 0.02, 0.99, "gender=F"),
    ]


@pytest.mark.parametrize(
    ("where", "features", "applies"),
    [
        ("", {}, True),
        ("", {"gender": "F"}, False),
        ("gender", {"gender": "F"}, True),
        ("gender", {}, False),
        ("gender=F", {"gender": "F"}, True),
        ("gender=F", {"gender": "M"}, False),
        ("gender", {"age_group": "F"}, False),
    ],
)
def test_a_threshold_applies_to_the_slices_that_it_names(where, features, applies):
    threshold = Threshold("floor", "mrr", 0.1, 0.95, where)
    assert threshold.applies_to(SliceResult(features, {}, None)) == applies
