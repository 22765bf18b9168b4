"""How TFMA is asked, without asking it."""

from __future__ import annotations

import math

import pytest
from tensorflow_model_analysis.evaluators import (
    metrics_plots_and_validations_evaluator as tfma_evaluator,
)
from tensorflow_model_analysis.metrics import metric_specs, metric_types

from components.evaluator.eval_config import to_tfma
from components.evaluator.thresholds import Outcome
from components.metrics.tfma_metric import RetrievalMetric, metric_config
from pipeline.config import EvalConfig


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (
            Outcome("ndcg@10", "lift", 0.1213, 2.9442, 0.0412, 1.0, True),
            "ndcg@10 0.1213 is 2.9x popularity (0.0412), at least 1x is required",
        ),
        (
            Outcome("mrr", "lift", 0.04119, 0.99976, 0.0412, 1.0, False),
            "mrr 0.0412 is 0.9998x popularity (0.0412), but at least 1x is required",
        ),
        (
            Outcome("mrr", "lift", 0.1, math.inf, 0.0, 1.0, True),
            "mrr 0.1000 is above popularity (0.0000), at least 1x is required",
        ),
        (
            Outcome("ndcg@10", "change", 0.11, -0.02, 0.13, -0.01, False),
            "ndcg@10 0.1100 is -0.0200 against the live model (0.1300), "
            "but at least -0.0100 is required",
        ),
        (
            Outcome("mrr", "floor", math.nan, math.nan, math.nan, 0.1, False),
            "mrr is nan, but at least 0.1 is required",
        ),
    ],
)
def test_a_threshold_explains_itself(outcome, sentence):
    assert str(outcome) == sentence


def test_all_metrics_share_one_pass_per_model():
    config = to_tfma(EvalConfig())
    config.metrics_specs[0].model_names.extend(["candidate", "baseline"])
    computations = metric_specs.to_computations(
        list(config.metrics_specs), eval_config=config
    )
    unique = tfma_evaluator._filter_and_separate_computations(computations)
    assert len(config.metrics_specs[0].metrics) > 30
    assert len(unique.non_derived_computations) == 2
    assert not unique.derived_computations


def test_a_metric_stands_alone_without_a_configuration():
    (computation,) = RetrievalMetric("ndcg@10").computations()
    names = [key.name for key in computation.keys]
    assert names == ["ndcg@10", "queries", "queries_without_held_out"]


def test_tfma_has_no_metric_of_the_same_name():
    # TFMA looks its own names up first, whatever module is asked for.
    assert not metric_types.is_registered_metric(metric_config("mrr").class_name)
