"""Validation of the thresholds in the configuration."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from components.evaluator.config import EvalConfig
from components.parameters import from_parameter, to_parameter


@pytest.mark.parametrize("group", ["floors", "min_lift"])
def test_a_configuration_without_thresholds_is_refused(group):
    with pytest.raises(ValidationError, match=r"must each name at least one metric"):
        EvalConfig(**{group: {}})


@pytest.mark.parametrize("bound", [0.0, -0.1, math.nan, math.inf])
def test_a_bound_that_cannot_decide_is_refused(bound):
    with pytest.raises(ValidationError):
        EvalConfig(floors={"ndcg@10": bound})


@pytest.mark.parametrize(
    "thresholds",
    [
        {"floors": {"auc": 0.5}},
        {"floors": {"ndcg@7": 0.1}},  # not among top_k
        {"min_lift": {"coverage@10": 1.0}},  # popularity's is not measured
        {"max_drop": {"ndcg@10": -0.1}},
    ],
)
def test_a_threshold_on_what_is_not_measured_is_refused(thresholds):
    with pytest.raises(ValidationError):
        EvalConfig(**thresholds)


def test_the_metrics_that_are_measured_may_have_thresholds():
    config = EvalConfig(
        top_k=(10,),
        floors={"coverage@10": 0.1, "novelty@10": 3.0, "mrr": 0.01},
        min_lift={"map@10": 2.0},
        max_drop={"recall@10": 0.0},
    )
    assert config.ignore_broken_live_model is False


def test_thresholds_keep_the_order_of_the_configuration():
    config = EvalConfig(floors={"ndcg@10": 0.1, "hit_rate@5": 0.2, "map@10": 0.1})
    read = from_parameter(EvalConfig, to_parameter(EvalConfig, config))
    assert list(read.floors) == ["ndcg@10", "hit_rate@5", "map@10"]
