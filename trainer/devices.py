"""The devices and workers of training, and its numeric precision."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import keras
import tensorflow as tf

from trainer.errors import UserError

# Tensor cores of half precision: NVIDIA Volta and later.
_FAST_HALF_PRECISION: Final = (7, 0)


class Cluster(NamedTuple):
    """The processes that train one model together.

    Attributes:
      num_workers: How many there are, this one included.
      is_chief: Whether this process writes the model, logs and checkpoints.
    """

    num_workers: int = 1
    is_chief: bool = True


def read_cluster() -> Cluster:
    """Reads `TF_CONFIG`, as Kubeflow's training operator and Vertex AI set it.

    https://www.tensorflow.org/guide/distributed_training#TF_CONFIG

    Raises:
      UserError: If its content is not valid, or names parameter servers.
    """
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        content = json.loads(text)
        tasks = content.get("cluster", {})
        num_workers = sum(len(tasks.get(name, [])) for name in ("chief", "worker"))
        if num_workers <= 1:
            return Cluster()
        kind, index = content["task"]["type"], int(content["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"TF_CONFIG cannot be read ({error!r}): {text}",
            "Unset it, or set the cluster's workers and this task's type and index",
        ) from error
    if tasks.get("ps") or kind not in ("chief", "worker"):
        raise UserError(
            f"TF_CONFIG names parameter servers, or the task type {kind!r}: {text}",
            "Name only workers: all of them train, and the first one writes",
        )
    is_first = index == 0 and not tasks.get("chief")
    return Cluster(num_workers, is_chief=kind == "chief" or is_first)


def make_strategy(cluster: Cluster) -> tf.distribute.Strategy:
    """Chooses how a batch is distributed: over one device, all GPUs or all workers.

    Args:
      cluster: The workers. With several, this must be called before this process has
        TensorFlow compute anything.
    """
    if cluster.num_workers > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_logical_devices("GPU")
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy(gpus)
    return tf.distribute.get_strategy()


def visible_gpus() -> list[str]:
    """Returns the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them.

    Nothing is computed, so that their memory stays free for other processes.
    """
    count = len(tf.config.list_physical_devices("GPU"))
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = named.split(",") if named else map(str, range(count))
    return [name.strip() for name in names][:count]


def mean_of_workers(value: float) -> float:
    """Returns the mean of a number over the workers.

    Workers that decide by this mean all decide alike, so that none waits for another.
    """
    strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return value
    values = strategy.run(lambda: tf.constant(value, tf.float64))
    mean = strategy.reduce(tf.distribute.ReduceOp.MEAN, values, axis=None)
    return float(mean)


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Sets the precision of the layers that are created within the context.

    Args:
      name: A Keras dtype policy, or "auto": mixed_float16 where there is a GPU with
        tensor cores, else float32.
    """
    if name == "auto":
        has_tensor_cores = any(
            tf.config.experimental.get_device_details(gpu).get("compute_capability", ())
            >= _FAST_HALF_PRECISION
            for gpu in tf.config.list_physical_devices("GPU")
        )
        name = "mixed_float16" if has_tensor_cores else "float32"
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(name)
    logging.info("Precision of training: %s", name)
    try:
        yield
    finally:
        keras.mixed_precision.set_dtype_policy(before)
