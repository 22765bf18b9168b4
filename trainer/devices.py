"""Where training runs, and in which precision."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import keras
import tensorflow as tf

from pipeline.errors import UserError

# Tensor cores of half precision: NVIDIA Volta and later.
_FAST_HALF_PRECISION: Final = (7, 0)


def refuse_several_workers() -> None:
    """Ends where each of several workers would train a model of its own.

    Raises:
      UserError: If `TF_CONFIG` names more than this process. Keras 3 cannot fit with
        `tf.distribute.MultiWorkerMirroredStrategy`:
        https://github.com/keras-team/keras/issues/20585
    """
    cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    workers = [address for task in cluster.values() for address in task]
    if len(workers) > 1:
        raise UserError(
            f"TF_CONFIG names {len(workers)} workers, but training takes one",
            "Unset TF_CONFIG, and give the one worker a larger machine or a GPU",
        )


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Sets what layers compute in that are made meanwhile; no others.

    Args:
      name: A Keras dtype policy, or "auto": mixed_float16 where there is a GPU with
        tensor cores, else float32.
    """
    if name == "auto":
        name = "mixed_float16" if _has_tensor_cores() else "float32"
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(name)
    logging.info("Training computes in %s", name)
    try:
        yield
    finally:
        keras.mixed_precision.set_dtype_policy(before)


def _has_tensor_cores() -> bool:
    return any(
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        >= _FAST_HALF_PRECISION
        for gpu in tf.config.list_physical_devices("GPU")
    )
