"""Where training runs: one CPU, GPUs, several workers; and in which precision."""

from __future__ import annotations

import logging
import os
from typing import Final

import keras
import tensorflow as tf

# Tensor cores of half precision: NVIDIA Volta and later.
_FAST_HALF_PRECISION: Final = (7, 0)


def strategy() -> tf.distribute.Strategy:
    """Returns the workers of `TF_CONFIG`, else all GPUs, else the one device.

    `TF_CONFIG` is what Kubernetes training operators set for each worker:
    https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_environment_variable
    """
    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def is_chief() -> bool:
    """Tells whether this process writes what all workers trained."""
    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    return not cluster.cluster_spec() or cluster.task_id == 0


def set_precision(name: str) -> None:
    """Sets what the layers compute in.

    Args:
      name: A Keras dtype policy, or "auto": mixed_float16 where there is a GPU with
        tensor cores, else float32.
    """
    if name == "auto":
        name = "mixed_float16" if _has_tensor_cores() else "float32"
    keras.mixed_precision.set_dtype_policy(name)
    logging.info("Training computes in %s", name)


def _has_tensor_cores() -> bool:
    return any(
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        >= _FAST_HALF_PRECISION
        for gpu in tf.config.list_physical_devices("GPU")
    )
