"""LiveModel: brings the model that is served now into the run.

TFX would use a resolver, which no open-source Kubeflow executes and which needs queries
to ML Metadata. The serving directory shows which model is live.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.artifact_utils import get_single_instance
from tfx.utils import io_utils, path_utils

from components import storage
from components.live_driver import LIVE, LiveDriver, check_unchanged
from components.live_model import EXISTS, MODEL_ID, NOTE, SOURCE, VERSION
from components.live_model.baseline import (
    COPY_FILE,
    Baseline,
    copy_record,
    find_baseline,
)
from trainer.model_identity import model_id

# Object stores keep no empty folder.
_PLACEHOLDER: Final = "NO_LIVE_MODEL"
_CANDIDATE: Final = "candidate"
_MODEL: Final = "model"
_SERVING_DIR: Final = "serving_dir"
_LOG: Final = logging.getLogger(__name__)


class Driver(LiveDriver):
    """Makes the model that the candidate is compared with a part of the cache key."""

    def find(self, execution_info: Any) -> str:
        """Returns version and identity of the model."""
        info = execution_info
        return _find(info.input_dict, info.output_dict, info.exec_properties).key


class Executor(base_executor.BaseExecutor):
    """Copies the model, since it may be removed from there during the run."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Called by TFX.

        Args:
          input_dict: `candidate`.
          output_dict: `model`: the copy; the custom property `exists` is 0 and the
            folder empty where there is nothing to compare with.
          exec_properties: `serving_dir`.

        Raises:
          UserError: The serving directory cannot be read.
        """
        model = get_single_instance(output_dict[_MODEL])
        found = _find(input_dict, output_dict, exec_properties)
        serving_dir = exec_properties[_SERVING_DIR]
        check_unchanged(found.key, exec_properties.get(LIVE), serving_dir)
        if found.folder:
            _LOG.info("The live model is %s.", found.folder)
            copy = path_utils.serving_model_dir(model.uri)
            io_utils.copy_dir(found.folder, copy)
            # It may have been replaced in place meanwhile.
            check_unchanged(model_id(copy), found.model_id, found.folder)
            record = copy_record(found.version, found.model_id)
            storage.write(os.path.join(model.uri, COPY_FILE), record)
        else:
            _LOG.info("Nothing to compare with: %s.", found.note or "nothing is live")
            io_utils.write_string_file(os.path.join(model.uri, _PLACEHOLDER), "")
        source = os.path.join(serving_dir, found.version)
        model.set_int_custom_property(EXISTS, int(bool(found.folder)))
        model.set_string_custom_property(VERSION, found.version)
        model.set_string_custom_property(MODEL_ID, found.model_id)
        model.set_string_custom_property(SOURCE, source if found.folder else "")
        model.set_string_custom_property(NOTE, found.note)


class LiveModelSpec(component_spec.ComponentSpec):
    """Channels and parameters of LiveModel."""

    PARAMETERS = {_SERVING_DIR: component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        _CANDIDATE: component_spec.ChannelParameter(type=standard_artifacts.Model)
    }
    OUTPUTS = {_MODEL: component_spec.ChannelParameter(type=standard_artifacts.Model)}


class LiveModel(base_component.BaseComponent):
    """Copies the live version out of the serving directory.

    If that is the candidate itself, pushed by an earlier run, it copies the version
    that the candidate replaced.
    """

    SPEC_CLASS = LiveModelSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(self, *, candidate: types.BaseChannel, serving_dir: str) -> None:
        """Makes the node `LiveModel`.

        Args:
          candidate: The trained model.
          serving_dir: Where Pusher puts the versions.
        """
        model = types.Channel(type=standard_artifacts.Model)
        super().__init__(
            spec=LiveModelSpec(
                candidate=candidate, serving_dir=serving_dir, model=model
            )
        )


def _find(inputs: Any, outputs: Any, exec_properties: Any) -> Baseline:
    candidate = get_single_instance(inputs[_CANDIDATE])
    path = path_utils.serving_model_path(candidate.uri)
    # Copies of earlier runs are beside the folder of this execution.
    copies = os.path.dirname(get_single_instance(outputs[_MODEL]).uri.rstrip("/"))
    return find_baseline(exec_properties[_SERVING_DIR], path, copies)
