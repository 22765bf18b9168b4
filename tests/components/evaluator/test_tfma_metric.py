"""The retrieval metrics in TFMA, without running it."""

from __future__ import annotations

from tensorflow_model_analysis.evaluators import (
    metrics_plots_and_validations_evaluator as tfma_evaluator,
)
from tensorflow_model_analysis.metrics import metric_specs, metric_types

from components.evaluator.config import EvalConfig
from components.evaluator.tfma_evaluation import to_tfma
from components.evaluator.tfma_metric import RetrievalMetrics


def test_all_metrics_of_both_models_share_one_pass():
    config = to_tfma(EvalConfig(), has_baseline=True)
    config.metrics_specs[0].model_names.extend(["candidate", "baseline"])
    computations = metric_specs.to_computations(
        list(config.metrics_specs), eval_config=config
    )
    unique = tfma_evaluator._filter_and_separate_computations(computations)
    (computation,) = unique.non_derived_computations
    assert len(computation.keys) > 200
    assert not unique.derived_computations


def test_a_metric_stands_alone_without_a_configuration():
    (computation,) = RetrievalMetrics(["ndcg@10"]).computations()
    names = [key.name for key in computation.keys]
    assert names[:3] == ["ndcg@10", "ndcg@10/standard_error", "queries"]
    assert {key.model_name for key in computation.keys} == {""}


def test_tfma_has_no_metric_of_the_same_name():
    # TFMA looks its own names up first, whatever module is asked for.
    assert not metric_types.is_registered_metric(RetrievalMetrics.__name__)
