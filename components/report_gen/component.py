"""ReportGen: one HTML page about a run, whether its model is blessed or not."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec

from components.report_gen.executor import INPUTS, OPTIONAL_INPUTS, Executor


class RunReport(types.Artifact):
    """The page: the file `report.html`.

    For its custom properties see `components.report_gen`.
    """

    # Kubeflow's runner finds the class again by this name: see `components`.
    TYPE_NAME = "components.RunReport"


class ReportGenSpec(types.ComponentSpec):
    """Parameters, inputs and output of ReportGen."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "code_hashes": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        key: component_spec.ChannelParameter(type=kind, optional=key in OPTIONAL_INPUTS)
        for key, kind in INPUTS.items()
    }
    OUTPUTS = {"run_report": component_spec.ChannelParameter(type=RunReport)}


class ReportGen(base_component.BaseComponent):
    """Writes the report of a run.

    It runs last and reads the outputs of all other steps, so the page also says why a
    model was not blessed, not servable or not pushed.
    """

    SPEC_CLASS = ReportGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        *,
        config: str,
        code_hashes: str = "{}",
        **inputs: types.BaseChannel | None,
    ) -> None:
        """Makes the node.

        Args:
          config: JSON of the configuration, as shown on the page.
          code_hashes: JSON of node id -> fingerprint of its code, for the lineage.
          **inputs: The channels that `executor.INPUTS` names.
        """
        spec = ReportGenSpec(
            **inputs,
            config=config,
            code_hashes=code_hashes,
            run_report=types.Channel(type=RunReport),
        )
        super().__init__(spec=spec)
