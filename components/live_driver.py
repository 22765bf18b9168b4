"""Makes what is live an input of a step: it is read anew in every run.

TFX caches a step by its inputs and parameters, and the serving directory is neither. A
driver runs before the cache is asked, and adds what it finds to the parameters. It must
find the same again after the run's own model was pushed: see
`components.live_model.baseline` and `components.serving_directory.drift_reference`.

Kubeflow runs no drivers. There the steps with such a driver are never cached.
"""

from __future__ import annotations

from typing import Any, Final

from tfx.dsl.components.base import base_driver
from tfx.orchestration import data_types_utils
from tfx.orchestration.portable import base_driver as portable_driver
from tfx.proto.orchestration import driver_output_pb2

from trainer.errors import UserError

# Name of the execution property.
LIVE: Final = "live"
_ERROR: Final = "cannot be read: "


class LiveDriver(base_driver.BaseDriver, portable_driver.BaseDriver):
    """Adds one execution property: what is live, as far as the step depends on it."""

    def __init__(self, metadata_handle: Any) -> None:
        """Called by TFX.

        Args:
          metadata_handle: ML Metadata.
        """
        base_driver.BaseDriver.__init__(self, metadata_handle)
        portable_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: Any) -> driver_output_pb2.DriverOutput:
        """Called by TFX; returns the property, which becomes part of the cache key.

        An error becomes part of it too. The executor will meet it again and raise it,
        which TFX records as a failed step; one that a driver raises it does not.
        """
        try:
            found = self.find(execution_info)
        except UserError as error:
            found = f"{_ERROR}{execution_info.execution_id}: {error}"
        output = driver_output_pb2.DriverOutput()
        data_types_utils.set_metadata_value(output.exec_properties[LIVE], found)
        return output

    def find(self, execution_info: Any) -> str:
        """Returns what is live, as text.

        Args:
          execution_info: TFX's `ExecutionInfo`.

        Raises:
          UserError: The serving directory cannot be read.
        """
        raise NotImplementedError


def check_unchanged(found: str, expected: str | None, serving_dir: str) -> None:
    """Fails if a step finds something else than its driver found.

    Its result would be cached under the wrong key.

    Args:
      found: What the step found.
      expected: What the driver found; empty or None where none ran.
      serving_dir: Where both looked.

    Raises:
      UserError: They differ.
    """
    if expected and found != expected:
        raise UserError(
            f"{serving_dir} changed while it was read: {expected!r} became {found!r}",
            "Run it again.",
        )
