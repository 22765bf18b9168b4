"""WarmStart: brings the model that training starts from into the run."""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import component_spec, standard_artifacts
from tfx.types.artifact_utils import get_single_instance
from tfx.utils import path_utils

from components.live_driver import LIVE, LiveDriver, check_unchanged
from components.live_model.baseline import Baseline
from components.movielens_example_gen.data_summary import (
    FINGERPRINT_PROPERTY,
    SUMMARY_PROPERTY,
    parse_summary,
)
from components.warm_start import NOTE, VERSION
from components.warm_start.base import find_base, is_copy
from trainer.base_model import BaseModel, ColdStartError, Data, Start, read_served_model

_EXAMPLES: Final = "examples"
_BASE_MODEL: Final = "base_model"
_SERVING_DIR: Final = "serving_dir"
_MODE: Final = "mode"
_COLD_START_EVERY: Final = "cold_start_every"
_LOG: Final = logging.getLogger(__name__)


class Driver(LiveDriver):
    """Makes the model that training starts from a part of the cache key."""

    def find(self, execution_info: Any) -> str:
        """Returns version and identity of the model."""
        info = execution_info
        return _find(info.input_dict, info.output_dict, info.exec_properties).key


class Executor(base_executor.BaseExecutor):
    """Copies what training needs of the model: it may be gone when training begins."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Called by TFX.

        Args:
          input_dict: `examples`, whose digest says which data the run has.
          output_dict: `base_model`: what `trainer.base_model.Start` saves.
          exec_properties: `serving_dir`, `mode` and `cold_start_every`.

        Raises:
          UserError: The serving directory cannot be read, or its model cannot be
            continued although `mode` is "always".
        """
        model = get_single_instance(output_dict[_BASE_MODEL])
        found = _find(input_dict, output_dict, exec_properties)
        serving_dir = exec_properties[_SERVING_DIR]
        check_unchanged(found.key, exec_properties.get(LIVE), serving_dir)
        start = _start(found, _data(input_dict), exec_properties)
        _LOG.info("%s", start.reason)
        start.save(path_utils.serving_model_dir(model.uri))
        model.set_string_custom_property(VERSION, start.version)
        model.set_string_custom_property(NOTE, start.reason)


class WarmStartSpec(component_spec.ComponentSpec):
    """Channels and parameters of WarmStart."""

    PARAMETERS = {
        _SERVING_DIR: component_spec.ExecutionParameter(type=str),
        _MODE: component_spec.ExecutionParameter(type=str),
        _COLD_START_EVERY: component_spec.ExecutionParameter(type=int),
    }
    INPUTS = {
        _EXAMPLES: component_spec.ChannelParameter(type=standard_artifacts.Examples)
    }
    OUTPUTS = {
        _BASE_MODEL: component_spec.ChannelParameter(type=standard_artifacts.Model)
    }


class WarmStart(base_component.BaseComponent):
    """Finds the live model's weights for the Trainer, or why it is a cold start."""

    SPEC_CLASS = WarmStartSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(
        self,
        *,
        examples: types.BaseChannel,
        serving_dir: str,
        mode: str,
        cold_start_every: int,
    ) -> None:
        """Makes the node `WarmStart`.

        Args:
          examples: The data of the run.
          serving_dir: Where Pusher puts the versions.
          mode: See `train.warm_start`.
          cold_start_every: See `train.cold_start_every`.
        """
        model = types.Channel(type=standard_artifacts.Model)
        super().__init__(
            spec=WarmStartSpec(
                examples=examples,
                serving_dir=serving_dir,
                mode=mode,
                cold_start_every=cold_start_every,
                base_model=model,
            )
        )


def _data(inputs: Any) -> Data:
    examples = get_single_instance(inputs[_EXAMPLES])
    summary = examples.get_string_custom_property(SUMMARY_PROPERTY)
    return Data(
        examples.get_string_custom_property(FINGERPRINT_PROPERTY),
        parse_summary(summary).get("last_timestamp"),
    )


def _find(inputs: Any, outputs: Any, exec_properties: Any) -> Baseline:
    """Finds the model; without looking where no model is wanted."""
    if exec_properties[_MODE] == "never":
        return Baseline(note="train.warm_start is never")
    # Copies of earlier runs are beside the folder of this execution.
    copies = os.path.dirname(get_single_instance(outputs[_BASE_MODEL]).uri.rstrip("/"))
    return find_base(exec_properties[_SERVING_DIR], _data(inputs), copies)


def _start(found: Baseline, data: Data, exec_properties: Any) -> Start:
    """Reads the model; a cold start if there is none or it cannot be continued.

    Raises:
      ColdStartError: It cannot be continued, and `mode` is "always".
    """
    if not found.folder:
        return Start(f"cold start: {found.note}", data=data)
    try:
        base = _read(found)
    except ColdStartError as error:
        if exec_properties[_MODE] == "always":
            raise
        _LOG.warning("%s", error)
        return Start(f"cold start: {error.message}", data=data)
    every = exec_properties[_COLD_START_EVERY]
    if every and base.warm_runs + 1 >= every:
        reason = f"cold start: it is one in {every} trainings"
        return Start(reason, data=data)
    reason = f"warm start from version {found.version}"
    return Start(reason, found.version, found.model_id, data, base)


def _read(found: Baseline) -> BaseModel:
    copied = Start.load(found.folder) if is_copy(found.folder) else Start()
    return copied.base or read_served_model(found.folder)
