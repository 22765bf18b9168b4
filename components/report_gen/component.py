"""ReportGen: one HTML page that tells all about a run, blessed or not."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.data_gate.component import DataReport
from components.report_gen.executor import Executor


class RunReport(types.Artifact):
    """The page: the file `report.html`.

    Its custom properties are `blessed` (int) and the headline metrics, see
    `page.headline_values`.
    """

    # Kubeflow's runner finds the class again by this name: see `components`.
    TYPE_NAME = "components.RunReport"


def _one(artifact_type: type[types.Artifact]) -> component_spec.ChannelParameter:
    return component_spec.ChannelParameter(type=artifact_type)


class ReportGenSpec(types.ComponentSpec):
    """Parameters, inputs and output of ReportGen."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "code_hash": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": _one(standard_artifacts.Examples),
        "schema": _one(standard_artifacts.Schema),
        "data_report": _one(DataReport),
        "transform_graph": _one(standard_artifacts.TransformGraph),
        "model": _one(standard_artifacts.Model),
        "model_run": _one(standard_artifacts.ModelRun),
        "baseline_model": _one(standard_artifacts.Model),
        "evaluation": _one(standard_artifacts.ModelEvaluation),
        "infra_blessing": _one(standard_artifacts.InfraBlessing),
        "pushed_model": _one(standard_artifacts.PushedModel),
    }
    OUTPUTS = {"run_report": _one(RunReport)}


class ReportGen(base_component.BaseComponent):
    """Writes the report of a run.

    It comes last and reads what all other steps left, so it also tells why a model was
    not blessed, not servable or not pushed.
    """

    SPEC_CLASS = ReportGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        *,
        inputs: dict[str, types.BaseChannel],
        config: str,
        code_hash: str,
    ) -> None:
        """Makes the node.

        Args:
          inputs: The channels that `ReportGenSpec.INPUTS` names.
          config: JSON of what decides what is computed.
          code_hash: Fingerprint of this component's source, for the cache.
        """
        super().__init__(
            spec=ReportGenSpec(
                **inputs,
                config=config,
                code_hash=code_hash,
                run_report=types.Channel(type=RunReport),
            )
        )
