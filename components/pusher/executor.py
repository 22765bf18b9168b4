"""Executor of RetrievalPusher."""

from __future__ import annotations

import os
import time
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.components.pusher import executor as stock
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as specs
from tfx.utils import io_utils, proto_utils

from components.serving_directory import STATISTICS_FILE
from trainer.features import TRAIN_SPLIT


class Executor(stock.Executor):
    """TFX's executor, but no push is lost and no incomplete version is visible.

    TFX's executor names a version by the current second. If that folder exists, it
    marks the model as pushed without writing it. It also copies into the final folder,
    which a server may read before the copy is complete.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes the model if it is blessed.

        Args:
          input_dict: `model_blessing`; `infra_blessing`, which holds the model; and
            `statistics` of what it was trained on.
          output_dict: `pushed_model`: a copy of the model, with TFX's properties
            `pushed`, `pushed_destination` and `pushed_version`.
          exec_properties: `push_destination`: JSON of a `PushDestination`.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        pushed = artifact_utils.get_single_instance(output_dict[specs.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        model_path = self.GetModelPath(input_dict)
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(
            exec_properties[specs.PUSH_DESTINATION_KEY], destination
        )
        # The artifact first: nothing may fail once the version is visible.
        io_utils.copy_dir(model_path, pushed.uri)
        _add_statistics(pushed.uri, input_dict)
        path = push_version(pushed.uri, destination.filesystem.base_directory)
        self._MarkPushed(
            pushed, pushed_destination=path, pushed_version=os.path.basename(path)
        )


def _add_statistics(
    version_dir: str, input_dict: dict[str, list[types.Artifact]]
) -> None:
    """Stores the statistics of the training data inside the model's version."""
    statistics = artifact_utils.get_single_instance(input_dict["statistics"])
    train = stats_artifact_utils.load_statistics(statistics, TRAIN_SPLIT).proto()
    path = os.path.join(version_dir, STATISTICS_FILE)
    fileio.makedirs(os.path.dirname(path))
    with fileio.open(path, "wb") as file:
        file.write(train.SerializeToString(deterministic=True))


def push_version(model_path: str, base_directory: str) -> str:
    """Copies a model into a new version folder.

    Args:
      model_path: Folder of the SavedModel.
      base_directory: Folder of all versions.

    Returns:
      The version's folder. Its name is the time in seconds since the epoch, as in TFX,
      or one more than the newest version where that is not older.
    """
    # TensorFlow Serving ignores names that are not numbers.
    staging = os.path.join(base_directory, f".pushing-{os.getpid()}-{time.time_ns()}")
    try:
        io_utils.copy_dir(model_path, staging)
        while True:
            path = os.path.join(base_directory, str(_next_version(base_directory)))
            try:
                # Renaming is atomic, and fails if another push took the name.
                fileio.rename(staging, path, overwrite=False)
                return path
            except (OSError, tf.errors.OpError):
                if not fileio.exists(path):
                    raise
    finally:
        if fileio.exists(staging):
            fileio.rmtree(staging)


def _next_version(base_directory: str) -> int:
    versions = [
        int(name)
        for entry in fileio.listdir(base_directory)
        if (name := entry.rstrip("/")).isdecimal()
    ]
    return max([int(time.time()), *(version + 1 for version in versions)])
