"""RetrievalEvaluator: TFX's Evaluator for the ranking of a whole corpus."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts, standard_component_specs

from components.evaluator.config import EvalConfig
from components.evaluator.executor import CONFIG, Executor
from components.parameters import to_parameter


class RetrievalEvaluatorSpec(types.ComponentSpec):
    """Inputs and outputs of TFX's Evaluator, with our configuration."""

    INPUTS = standard_component_specs.EvaluatorSpec.INPUTS
    OUTPUTS = standard_component_specs.EvaluatorSpec.OUTPUTS
    PARAMETERS = {CONFIG: component_spec.ExecutionParameter(type=str)}


class RetrievalEvaluator(base_beam_component.BaseBeamComponent):
    """Evaluates the candidate, the live model and popularity on the same eval queries.

    Outputs:
      evaluation: `ModelEvaluation`: TFMA's files, `retrieval_summary.json` (see
        `components.evaluator.retrieval_summary`) and `query_ranks.parquet`.
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
            config=to_parameter(EvalConfig, eval_config),
            evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
            blessing=types.Channel(type=standard_artifacts.ModelBlessing),
        )
        super().__init__(spec=spec)
        self.with_id("Evaluator")
