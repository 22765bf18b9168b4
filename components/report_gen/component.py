"""ReportGen: one HTML page that tells all about a run, blessed or not."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec

from components.report_gen.executor import INPUTS, OPTIONAL_INPUTS, Executor


class RunReport(types.Artifact):
    """The page: the file `report.html`.

    Its custom properties are `blessed` (int) and the headline metrics, see
    `page.headline_values`.
    """

    # Kubeflow's runner finds the class again by this name: see `components`.
    TYPE_NAME = "components.RunReport"


class ReportGenSpec(types.ComponentSpec):
    """Parameters, inputs and output of ReportGen."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "code_hashes": component_spec.ExecutionParameter(type=str),
        "code_hash": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        key: component_spec.ChannelParameter(type=kind, optional=key in OPTIONAL_INPUTS)
        for key, kind in INPUTS.items()
    }
    OUTPUTS = {"run_report": component_spec.ChannelParameter(type=RunReport)}


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
        code_hashes: Mapping[str, str],
        code_hash: str,
    ) -> None:
        """Makes the node.

        Args:
          inputs: The channels that `executor.INPUTS` names.
          config: JSON of what decides what is computed.
          code_hashes: Node id -> fingerprint of its code, for the lineage.
          code_hash: Fingerprint of this component's source, for the cache.
        """
        super().__init__(
            spec=ReportGenSpec(
                **inputs,
                config=config,
                code_hashes=json.dumps(code_hashes),
                code_hash=code_hash,
                run_report=types.Channel(type=RunReport),
            )
        )
