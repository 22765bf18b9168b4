"""The training loop, on one device or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from trainer.model import TwoTowerModel

Batches = Iterator[dict[str, tf.Tensor]]


def run_epochs(
    model: TwoTowerModel,
    dataset: tf.data.Dataset,
    epochs: range,
    steps: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Trains a compiled model.

    `keras.Model.fit` is not used: in Keras 3 it fails with
    `MultiWorkerMirroredStrategy` (https://github.com/keras-team/keras/issues/20585) and
    traces the training step twice.

    Args:
      model: Built and compiled in the scope of the current strategy.
      dataset: `len(epochs) * steps` batches, each for all replicas together.
      epochs: Numbers of the epochs, from 0.
      steps: Batches of an epoch.
      callbacks: Called as `keras.Model.fit` calls them.
    """
    strategy = tf.distribute.get_strategy()
    called = keras.callbacks.CallbackList(
        callbacks, model=model, epochs=epochs.stop, steps=steps
    )
    batches = iter(strategy.experimental_distribute_dataset(dataset))
    step = _compiled_step(model, strategy)
    model.stop_training = False
    logs: dict[str, Any] = {}
    called.on_train_begin()
    for epoch in epochs:
        called.on_epoch_begin(epoch)
        total = tf.constant(0.0)
        for batch in range(steps):
            called.on_train_batch_begin(batch)
            total += step(batches)
            # The tensor is not read here, which would wait for the device.
            called.on_train_batch_end(batch, {"loss": total / (batch + 1)})
        logs = {"loss": float(total / steps)}
        called.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    called.on_train_end(logs)


def _compiled_step(
    model: TwoTowerModel, strategy: tf.distribute.Strategy
) -> Callable[[Batches], tf.Tensor]:
    """Returns a compiled training step, which returns the mean loss over replicas."""

    # Without AutoGraph, which takes seconds and finds nothing to convert.
    @tf.function(autograph=False, reduce_retracing=True)
    def step(batches: Batches) -> tf.Tensor:
        losses = strategy.run(model.train_step, args=(next(batches),))
        return strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None)

    compiled: Callable[[Batches], tf.Tensor] = step
    return compiled
