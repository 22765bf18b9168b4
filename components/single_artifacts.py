"""The executors whose inputs and outputs are one artifact each: all but Beam's own."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, TypeAlias

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

Artifacts: TypeAlias = Mapping[str, types.Artifact]


class SingleArtifactExecutor(base_executor.BaseExecutor):
    """Hands `run` each input and output as the one artifact that it is."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Called by TFX.

        Raises:
          ValueError: There is more than one artifact under a key.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        self.run(_singles(input_dict), _singles(output_dict), exec_properties)

    @abc.abstractmethod
    def run(
        self, inputs: Artifacts, outputs: Artifacts, parameters: Mapping[str, Any]
    ) -> None:
        """Does the step.

        Args:
          inputs: Key of the component's spec -> artifact.
          outputs: The same; their folders are there.
          parameters: Execution properties.
        """


def _singles(artifacts: Mapping[str, list[types.Artifact]]) -> Artifacts:
    return {
        key: artifact_utils.get_single_instance(several)
        for key, several in artifacts.items()
        if several  # an optional input may have an empty list
    }
