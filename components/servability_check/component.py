"""ServabilityCheck: InfraValidator's place in a graph that must run anywhere.

InfraValidator starts a model server in Docker or Kubernetes, and TFX's Kubeflow runner
refuses it. This component loads the model in a fresh process with TensorFlow alone.
"""

from __future__ import annotations

import dataclasses
import json

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.servability_check.config import ServingConfig
from components.servability_check.executor import Executor


class ServabilityCheckSpec(types.ComponentSpec):
    """Parameters, inputs and output of ServabilityCheck."""

    PARAMETERS = {
        "serving": component_spec.ExecutionParameter(type=str),
        "code_hash": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {
        "blessing": component_spec.ChannelParameter(
            type=standard_artifacts.InfraBlessing
        )
    }


class ServabilityCheck(base_component.BaseComponent):
    """Checks that a model can be served, and adds warm-up requests to it.

    The blessing has the layout of InfraValidator's, so that Pusher takes the model from
    it. A model that is not servable is not blessed, with reasons; the run goes on.
    """

    SPEC_CLASS = ServabilityCheckSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        *,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        serving: ServingConfig,
        code_hash: str,
    ) -> None:
        """Makes the node.

        Args:
          model: The candidate `Model`.
          examples: `Examples`; eval rows make the requests.
          serving: What the model must be able to do.
          code_hash: Fingerprint of this component's source, for the cache.
        """
        super().__init__(
            spec=ServabilityCheckSpec(
                model=model,
                examples=examples,
                serving=json.dumps(dataclasses.asdict(serving), sort_keys=True),
                code_hash=code_hash,
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
