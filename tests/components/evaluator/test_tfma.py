"""How TFMA is asked, without asking it."""

from __future__ import annotations

import math

import pytest
from tensorflow_model_analysis.evaluators import (
    metrics_plots_and_validations_evaluator as tfma_evaluator,
)
from tensorflow_model_analysis.metrics import metric_specs, metric_types

from components.evaluator.tfma_config import to_tfma
from components.evaluator.thresholds import Outcome
from components.metrics.tfma_metric import RetrievalMetric, metric_config
from pipeline.config import EvalConfig


def outcome(kind, value, compared, reference, bound, passed, noise=0.0, slice=""):  # noqa: A002, PLR0917
    return Outcome(
        metric="ndcg@10",
        kind=kind,
        slice=slice,
        queries=12,
        value=value,
        compared=compared,
        reference=reference,
        bound=bound,
        noise=noise,
        passed=passed,
    )


@pytest.mark.parametrize(
    ("explained", "sentence"),
    [
        (
            outcome("lift", 0.1213, 2.9442, 0.0412, 1.1, True),
            "ndcg@10 0.1213 is 2.9x popularity (0.0412), at least 1.1x is required",
        ),
        (
            outcome("lift", 0.04119, 0.99976, 0.0412, 1.0, False),
            "ndcg@10 0.0412 is 0.9998x popularity (0.0412), "
            "but at least 1x is required",
        ),
        (
            outcome("lift", 0.05, 1.25, 0.04, 1.1, False, noise=0.02),
            "ndcg@10 0.0500 is 1.2x popularity (0.0400), "
            "but a gain of +0.0100 is within noise (0.0200)",
        ),
        (
            outcome("lift", 0.02, 0.5, 0.04, 1.0, False, noise=0.01, slice="sex=F"),
            "sex=F (12 users): ndcg@10 0.0200 is 0.5x popularity (0.0400), "
            "but at least 1x is required, beyond noise (0.0100)",
        ),
        (
            outcome("lift", 0.1, math.inf, 0.0, 1.0, True),
            "ndcg@10 0.1000 is above popularity (0.0000), at least 1x is required",
        ),
        (
            outcome("change", 0.11, -0.02, 0.13, -0.01, False),
            "ndcg@10 0.1100 is -0.0200 against the live model (0.1300), "
            "but at least -0.0100 is required",
        ),
        (
            outcome("change", 0.11, -0.02, 0.13, -0.01, True, noise=0.03),
            "ndcg@10 0.1100 is -0.0200 against the live model (0.1300), "
            "at least -0.0300 is required (noise)",
        ),
        (
            outcome("floor", math.nan, math.nan, math.nan, 0.1, False),
            "ndcg@10 is nan, but at least 0.1 is required",
        ),
    ],
)
def test_a_threshold_explains_itself(explained, sentence):
    assert str(explained) == sentence


def test_all_metrics_of_both_models_share_one_pass():
    config = to_tfma(EvalConfig())
    config.metrics_specs[0].model_names.extend(["candidate", "baseline"])
    computations = metric_specs.to_computations(
        list(config.metrics_specs), eval_config=config
    )
    unique = tfma_evaluator._filter_and_separate_computations(computations)
    assert len(config.metrics_specs[0].metrics) > 30
    assert len(unique.non_derived_computations) == 1
    assert not unique.derived_computations


def test_a_metric_stands_alone_without_a_configuration():
    (computation,) = RetrievalMetric("ndcg@10").computations()
    names = [key.name for key in computation.keys]
    assert names[:3] == ["ndcg@10", "ndcg@10/standard_error", "queries"]
    assert {key.model_name for key in computation.keys} == {""}


def test_tfma_has_no_metric_of_the_same_name():
    # TFMA looks its own names up first, whatever module is asked for.
    assert not metric_types.is_registered_metric(metric_config("mrr").class_name)
