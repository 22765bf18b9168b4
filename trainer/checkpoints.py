"""Saves the state of a fit after each epoch, so that a killed run can resume."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import os
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.atomic_files import PART_PREFIX, write_bytes
from trainer.config import TrainerConfig, to_json
from trainer.validation import MONITORED, RECALL, Validation

_FILE: Final = "state.npz"
_FOLDER: Final = "checkpoints"
# Arrays of the file.
_STOPPED: Final = "has_stopped"
_SECONDS: Final = "seconds"
_UNREADABLE: Final = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def checkpoint_folder(
    model_run_dir: str, config: TrainerConfig, inputs: Sequence[str]
) -> str:
    """Returns the folder of a fit: the same for the same configuration and data.

    It is beside the folders of the Trainer's executions, each of which is new.

    Args:
      model_run_dir: Folder of this execution's `model_run` artifact.
      config: What the Trainer was given, the hash of its code included.
      inputs: URIs of the data.
    """
    parts = json.dumps([to_json(config), sorted(inputs)], sort_keys=True)
    key = hashlib.sha256(parts.encode()).hexdigest()[:16]
    outputs = os.path.dirname(model_run_dir.rstrip("/"))
    return os.path.join(os.path.dirname(outputs), _FOLDER, key)


class Checkpoint(keras.callbacks.Callback):
    """Saves after each epoch all that the next epochs depend on.

    `keras.callbacks.BackupAndRestore` keeps weights and epoch, in two files, but not
    the state of random generators and of the validation, so that a resumed fit would
    end with another model. Here one file has it all and is replaced atomically.

    Args:
      folder: See `checkpoint_folder`; None to keep only the history, in memory.
      validation: The validation, whose state is saved too; None for none.
      writes: Whether this process saves; all processes read.

    Attributes:
      has_stopped: Whether the fit that was restored had ended early.
      history: Metric -> its value after each epoch.
    """

    def __init__(
        self,
        folder: str | None,
        validation: Validation | None,
        *,
        writes: bool = True,
    ) -> None:
        super().__init__()
        self.folder = folder
        self._path = os.path.join(folder, _FILE) if folder else ""
        self._writes = bool(folder) and writes
        self._validation = validation
        self._seconds_before = 0.0
        self._started = time.monotonic()
        self.has_stopped = False
        self.history: dict[str, list[float]] = {"loss": []}
        if validation:
            self.history |= {MONITORED: [], RECALL: []}

    def restore(self, model: keras.Model) -> int:
        """Restores the checkpoint, if there is one and it can be read.

        Args:
          model: A compiled model.

        Returns:
          How many epochs are done already.
        """
        self.set_model(model)
        if not self._path or not tf.io.gfile.exists(self._path):
            return 0
        variables = self._variables()
        try:
            with tf.io.gfile.GFile(self._path, "rb") as file:
                arrays = dict(np.load(io.BytesIO(file.read()), allow_pickle=False))
            values = [arrays[f"variable_{i}"] for i in range(len(variables))]
            history = {
                name: arrays[f"history_{name}"].tolist() for name in self.history
            }
            has_stopped, seconds = bool(arrays[_STOPPED]), float(arrays[_SECONDS])
            if self._validation:
                self._validation.restore(arrays)
        except _UNREADABLE as error:
            logging.warning(
                "%s cannot be read (%s): training starts anew", self._path, error
            )
            return 0
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self.history = history
        self.has_stopped, self._seconds_before = has_stopped, seconds
        return len(history["loss"])

    @property
    def seconds(self) -> float:
        """Seconds of the fit, those before it was interrupted included."""
        return self._seconds_before + time.monotonic() - self._started

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves, also after the last epoch: the export is still to come."""
        for name, values in self.history.items():
            values.append(float((logs or {})[name]))
        if self._writes and math.isfinite(self.history["loss"][-1]):
            content = io.BytesIO()
            np.savez(content, **self._arrays())
            tf.io.gfile.makedirs(os.path.dirname(self._path))
            if "://" not in self._path:
                write_bytes(Path(self._path), content.getvalue())
                return
            unfinished = f"{self._path}.unfinished"
            with tf.io.gfile.GFile(unfinished, "wb") as file:
                file.write(content.getvalue())
            tf.io.gfile.rename(unfinished, self._path, overwrite=True)

    def _variables(self) -> list[keras.Variable]:
        optimizer = self.model.optimizer
        optimizer.build(self.model.trainable_variables)
        return [*self.model.variables, *optimizer.variables]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        to_numpy = keras.ops.convert_to_numpy
        variables = enumerate(self._variables())
        arrays = {f"variable_{i}": to_numpy(each) for i, each in variables}
        arrays |= {f"history_{k}": np.array(v) for k, v in self.history.items()}
        arrays |= {
            _STOPPED: np.array(self.model.stop_training),
            _SECONDS: np.array(self.seconds),
        }
        return arrays | (self._validation.state() if self._validation else {})


def remove_checkpoints(folder: str) -> None:
    """Removes the checkpoint of a fit, and those of others that were never resumed.

    For when the model and its report are complete: until then the checkpoint is all
    that there is of the training. No other files are removed.

    Args:
      folder: See `checkpoint_folder`.
    """
    root = os.path.dirname(folder)
    # The patterns include files that a killed process left half written.
    patterns = (f"{_FILE}*", f"{PART_PREFIX}*")
    paths = [os.path.join(root, "*", pattern) for pattern in patterns]
    for path in tf.io.gfile.glob(paths):
        tf.io.gfile.remove(path)
        folder = os.path.dirname(path)
        if not tf.io.gfile.listdir(folder):
            tf.io.gfile.rmtree(folder)
    if tf.io.gfile.exists(root) and not tf.io.gfile.listdir(root):
        tf.io.gfile.rmtree(root)
