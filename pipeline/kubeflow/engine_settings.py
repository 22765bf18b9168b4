"""The engine of a compiled pipeline: from the configuration to the steps that use it.

The section `engine`, and `data.ingest`, travel as environment variables, since servers
have a step's arguments in its cache key, and variables not.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Collection, Sequence
from typing import Final

from pydantic import TypeAdapter

from pipeline.config import PipelineConfig
from pipeline.engines.beam_options import BEAM_ARGS, beam_args
from pipeline.engines.config import EngineConfig
from pipeline.kubeflow import ratings_input
from pipeline.kubeflow.compiled import CompiledPipeline
from trainer.errors import UsageError

ENGINE_ENV: Final = "TWO_TOWER_ENGINE"
BEAM_ARGS_ENV: Final = "TWO_TOWER_BEAM_ARGS"


def declare(
    pipeline: CompiledPipeline, config: PipelineConfig, steps: Collection[str]
) -> None:
    """Gives the steps that Beam distributes the engine, and further arguments of Beam.

    Args:
      pipeline: The pipeline, whose containers have their other settings; changed.
      config: The configuration.
      steps: Names of these steps.

    Raises:
      UsageError: `engine.shared_dir` is in no volume of the steps.
    """
    engine = config.engine
    _check_shared_dir(config)
    further = config.data.beam_args()
    for name, container in pipeline.containers():
        if name not in steps:
            continue
        variables = {}
        # Dataflow's workers see buckets only, and the ratings are copied into the pod.
        is_local = engine.runner == "dataflow" and name == ratings_input.READER
        if engine != EngineConfig() and not is_local:
            variables[ENGINE_ENV] = json.dumps(
                dataclasses.asdict(engine), sort_keys=True
            )
        if further:
            variables[BEAM_ARGS_ENV] = json.dumps(further)
        if variables:
            container.setdefault("env", []).extend(
                {"name": key, "value": value} for key, value in variables.items()
            )


def _check_shared_dir(config: PipelineConfig) -> None:
    engine = config.engine
    if not engine.is_distributed or engine.runner == "dataflow":
        return
    mounts = [volume.path.rstrip("/") + "/" for volume in config.kubeflow.volumes]
    folder = engine.shared_dir
    if folder is None or not any(f"{folder}/".startswith(mount) for mount in mounts):
        raise UsageError(
            f"engine.shared_dir is {folder or 'not set'}, which is in no volume of "
            "kubeflow.volumes: the engine's workers would not see a step's files",
            "Set it to a folder of a volume that the workers mount at the same path.",
        )


def of_this_step() -> EngineConfig:
    """The engine of the step in whose container this runs."""
    value = os.environ.get(ENGINE_ENV)
    if not value:
        return EngineConfig()
    return TypeAdapter(EngineConfig).validate_json(value)


def arguments(engine: EngineConfig, given: Sequence[str]) -> list[str]:
    """Arguments of Beam for a step.

    Args:
      engine: From `of_this_step`.
      given: The arguments that were compiled.
    """
    further = [argument for argument in given if argument not in BEAM_ARGS]
    of_executors = json.loads(os.environ.get(BEAM_ARGS_ENV) or "[]")
    return [*beam_args(engine), *further, *of_executors]
