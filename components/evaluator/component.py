"""RetrievalEvaluator: TFX's Evaluator for the ranking of a whole corpus."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts, standard_component_specs
from tfx.utils import json_utils

from components.evaluator.config import EvalConfig
from components.evaluator.executor import (
    CONFIDENCE,
    IGNORE_BROKEN_BASELINE,
    Executor,
)
from components.evaluator.tfma_config import to_tfma
from trainer.features import EVAL_SPLIT


class RetrievalEvaluatorSpec(standard_component_specs.EvaluatorSpec):
    """TFX's own, and how a broken baseline and confidence intervals are handled."""

    PARAMETERS = {
        **standard_component_specs.EvaluatorSpec.PARAMETERS,
        IGNORE_BROKEN_BASELINE: component_spec.ExecutionParameter(type=int),
        CONFIDENCE: component_spec.ExecutionParameter(type=float),
    }


class RetrievalEvaluator(base_beam_component.BaseBeamComponent):
    """Evaluates the candidate, the live model and popularity on the same eval queries.

    Outputs:
      evaluation: `ModelEvaluation`: TFMA's files and `retrieval_summary.json`, see
        `components.evaluator.retrieval_summary`.
      blessing: `ModelBlessing` as from TFX's Evaluator.
    """

    SPEC_CLASS = RetrievalEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(  # noqa: D417 - the channels are those of TFX's Evaluator
        self,
        *,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        schema: types.BaseChannel,
        eval_config: EvalConfig,
    ) -> None:
        """Makes the node `Evaluator`.

        Args:
          baseline_model: The live model, from `LiveModel`.
          eval_config: Metrics, slices and thresholds.
        """
        spec = RetrievalEvaluatorSpec(
            examples=examples,
            model=model,
            baseline_model=baseline_model,
            schema=schema,
            eval_config=to_tfma(eval_config),
            example_splits=json_utils.dumps([EVAL_SPLIT]),
            ignore_broken_baseline=int(eval_config.ignore_broken_live_model),
            confidence=eval_config.confidence,
            evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
            blessing=types.Channel(type=standard_artifacts.ModelBlessing),
        )
        super().__init__(spec=spec)
        self.with_id("Evaluator")
