"""LiveModel: brings the model that is served now into the run.

TFX would use a resolver, which no open-source Kubeflow executes and which needs queries
to ML Metadata. The serving directory itself is the truth about what is live.
"""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.live_model.executor import Executor


class LiveModelSpec(types.ComponentSpec):
    """Parameters, input and output of LiveModel."""

    PARAMETERS = {
        "serving_dir": component_spec.ExecutionParameter(type=str),
        "code_hash": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "candidate": component_spec.ChannelParameter(type=standard_artifacts.Model)
    }
    OUTPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}


class LiveModel(base_component.BaseComponent):
    """Copies the live model.

    Outputs:
      model: `Model`, always one. Its custom property `exists` is 0 where nothing is
        served yet, and it is empty then; `version` names the version.
    """

    SPEC_CLASS = LiveModelSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self, *, model: types.BaseChannel, serving_dir: str, code_hash: str
    ) -> None:
        """Makes the node.

        Args:
          model: The candidate. It is not read, but a baseline belongs to a candidate:
            the cache then keeps what an unchanged candidate was compared with.
          serving_dir: Where Pusher puts the versions.
          code_hash: Fingerprint of this component's source, for the cache.
        """
        super().__init__(
            spec=LiveModelSpec(
                candidate=model,
                serving_dir=serving_dir,
                code_hash=code_hash,
                model=types.Channel(type=standard_artifacts.Model),
            )
        )
