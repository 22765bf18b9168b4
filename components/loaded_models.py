"""SavedModels in memory, for the steps of a run that call the same one."""

from __future__ import annotations

import functools
import os
from typing import Any

import tensorflow as tf


def load_model(path: str) -> Any:
    """Loads a SavedModel, or returns it if it is one of the last two that were loaded.

    To load a model takes longer than to rank a thousand queries with it. Two, since the
    Evaluator compares a candidate with the live model; they stay in memory until others
    are loaded.

    Args:
      path: Directory with `saved_model.pb`.

    Raises:
      tf.errors.NotFoundError: There is no SavedModel.
    """
    file = os.path.join(path, tf.saved_model.SAVED_MODEL_FILENAME_PB)
    return _load(path, tf.io.gfile.stat(file).mtime_nsec)


@functools.lru_cache(maxsize=2)
def _load(path: str, modified: int) -> Any:
    """`modified` is part of the key: a folder may have been written anew since."""
    return tf.saved_model.load(path)
