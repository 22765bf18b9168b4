"""Saves the state of a fit after each epoch, so that a killed run can resume."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import zipfile
from collections.abc import Sequence
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.config import TrainerConfig, to_json
from trainer.validation import MONITORED, Validation

_FILE: Final = "state.npz"
_FOLDER: Final = "checkpoints"
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
        self.history: dict[str, list[float]] = {"loss": []}
        if validation:
            self.history[MONITORED] = []

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
        return len(history["loss"])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves, unless training ends here."""
        for name, values in self.history.items():
            values.append(float((logs or {})[name]))
        if self._writes and not self.model.stop_training:
            content = io.BytesIO()
            np.savez(content, **self._arrays())
            tf.io.gfile.makedirs(os.path.dirname(self._path))
            unfinished = f"{self._path}.unfinished"
            with tf.io.gfile.GFile(unfinished, "wb") as file:
                file.write(content.getvalue())
            tf.io.gfile.rename(unfinished, self._path, overwrite=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Removes the checkpoint, and those of other fits that were never resumed."""
        if self._writes:
            _remove_all(os.path.dirname(os.path.dirname(self._path)))

    def _variables(self) -> list[keras.Variable]:
        optimizer = self.model.optimizer
        optimizer.build(self.model.trainable_variables)
        return [*self.model.variables, *optimizer.variables]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        to_numpy = keras.ops.convert_to_numpy
        variables = enumerate(self._variables())
        arrays = {f"variable_{i}": to_numpy(each) for i, each in variables}
        arrays |= {f"history_{k}": np.array(v) for k, v in self.history.items()}
        return arrays | (self._validation.state() if self._validation else {})


def _remove_all(root: str) -> None:
    """Removes the checkpoints below a folder, and no other files."""
    # The pattern includes files that a killed process left half written.
    for path in tf.io.gfile.glob(os.path.join(root, "*", f"{_FILE}*")):
        tf.io.gfile.remove(path)
        folder = os.path.dirname(path)
        if not tf.io.gfile.listdir(folder):
            tf.io.gfile.rmtree(folder)
    if tf.io.gfile.exists(root) and not tf.io.gfile.listdir(root):
        tf.io.gfile.rmtree(root)
