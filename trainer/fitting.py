"""Fits a model: optimizer, callbacks, early stopping, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import keras
import tensorflow as tf

from trainer import progress
from trainer.checkpoints import Checkpoint
from trainer.config import TrainConfig
from trainer.devices import mean_of_workers
from trainer.dotted_paths import find_class
from trainer.errors import UserError
from trainer.model import TwoTowerModel
from trainer.row_adam import RowAdam
from trainer.train_report import FitReport
from trainer.validation import MONITORED, RECALL, Validation, standard_error
from trainer.windows import Sampling, Windows, window_dataset

OPTIMIZERS: Final = {
    "adam": RowAdam,
    "adamw": keras.optimizers.AdamW,
    "adagrad": keras.optimizers.Adagrad,
    "sgd": keras.optimizers.SGD,
}
_FINAL_LEARNING_RATE: Final = 0.05  # as a fraction of the first
# Epochs count for `train.patience` once the learning rate is below this fraction.
_LATE_LEARNING_RATE: Final = 0.25
_SECONDS_BETWEEN_EVENTS: Final = 0.5


def fit(
    model: TwoTowerModel,
    windows: Windows,
    validation: Windows | None,
    config: TrainConfig,
    log_dir: str,
    *,
    sampling: Sampling | None = None,
    checkpoints: str | None = None,
    is_chief: bool = True,
) -> FitReport:
    """Fits the model to the windows, with the current distribution strategy.

    Args:
      model: An untrained model.
      windows: What to train on.
      validation: Windows to measure each epoch on; None for none.
      config: The section `train` of the configuration.
      log_dir: Folder of TensorBoard's event files.
      sampling: Which windows an epoch has; None for all.
      checkpoints: Folder of the checkpoint, from which an interrupted fit resumes; None
        for a fit without checkpoints.
      is_chief: Whether this process writes files and reports progress.

    Returns:
      How the fit went; the model has the weights of the best epoch.

    Raises:
      UserError: If the loss is not finite, or workers see different checkpoints.
    """
    num_windows = sampling.num_windows if sampling else len(windows.is_target)
    steps = math.ceil(num_windows / config.batch_size)
    model.compile(optimizer=make_optimizer(config, steps))
    # Built here, since a training step that creates variables would be traced twice.
    model.optimizer.build(model.trainable_variables)
    monitor = None
    if validation is not None:
        monitor = Validation(validation, config.patience, late_epoch(config))
    checkpoint = Checkpoint(checkpoints, monitor, writes=is_chief)
    done = _resume(checkpoint, model)
    epochs = range(done, done if checkpoint.has_stopped else config.epochs)
    num_targets = _num_targets(windows, sampling)
    reporter = ProgressCallback(config.epochs, done, num_targets)
    board = keras.callbacks.TensorBoard(log_dir, write_graph=False)
    # In this order: the validation must be in the logs before it is read.
    callbacks = [
        keras.callbacks.TerminateOnNaN(),
        *([monitor] if monitor else []),
        checkpoint,
        *([board] if is_chief else []),
        reporter,
    ]
    with window_dataset(
        windows, config.batch_size, config.seed, epochs, sampling
    ) as dataset:
        _run_epochs(model, dataset, epochs, steps, callbacks)
    seconds = checkpoint.seconds
    losses = checkpoint.history["loss"]
    _check_finite(losses, config.learning_rate)
    return FitReport(
        loss=losses,
        recall=checkpoint.history.get(RECALL, []),
        ndcg=checkpoint.history.get(MONITORED, []),
        ndcg_error=standard_error(monitor.values) if monitor else 0.0,
        best_epoch=monitor.best_epoch if monitor else len(losses),
        num_queries=0 if validation is None else len(validation.movies),
        num_targets=num_targets,
        train_seconds=seconds,
        targets_per_second=num_targets * len(losses) / seconds,
        epoch_seconds=reporter.epoch_seconds,
    )


def _num_targets(windows: Windows, sampling: Sampling | None) -> int:
    """Returns the targets of an epoch, those of windows that it draws on average."""
    targets = windows.is_target.sum(axis=1)
    if sampling is None:
        return int(targets.sum())
    drawn = sampling.share * targets[~sampling.always].sum()
    return int(targets[sampling.always].sum() + drawn)


def _resume(checkpoint: Checkpoint, model: TwoTowerModel) -> int:
    """Restores the checkpoint on all workers; returns the epochs that are done.

    Raises:
      UserError: If workers see different checkpoints.
    """
    done = checkpoint.restore(model)
    # The mean of the distances: one worker's epoch may equal the mean of all.
    if mean_of_workers(abs(done - mean_of_workers(done))) > 0:
        raise UserError(
            f"This worker would resume after epoch {done}, others after another one",
            f"Let all workers see one folder {checkpoint.folder}, or remove it",
        )
    return done


def _check_finite(losses: list[float], learning_rate: float) -> None:
    if not math.isfinite(losses[-1]):
        raise UserError(
            f"Training diverged: the loss is {losses[-1]} in epoch {len(losses)}",
            f"Lower train.learning_rate, which is {learning_rate}: "
            "--set train.learning_rate=0.001",
        )


def make_optimizer(config: TrainConfig, steps: int) -> keras.optimizers.Optimizer:
    """Makes the optimizer that `train.optimizer` names.

    Args:
      config: The section `train` of the configuration.
      steps: Steps of an epoch.
    """
    rate = _learning_rate(config, steps)
    kind = find_class("train.optimizer", config.optimizer, OPTIMIZERS)
    decay = config.weight_decay
    return kind(learning_rate=rate, **({"weight_decay": decay} if decay else {}))


def _learning_rate(config: TrainConfig, steps: int) -> Any:
    """Returns the learning rate, or its schedule over the steps of the fit."""
    if config.learning_rate_schedule == "constant":
        return config.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        config.learning_rate, config.epochs * steps, alpha=_FINAL_LEARNING_RATE
    )


def late_epoch(config: TrainConfig) -> int:
    """Returns the first epoch, from 1, that may count for `train.patience`.

    It is the first that ends with a learning rate of at most `_LATE_LEARNING_RATE` of
    the highest; 1 with a constant one.
    """
    rate = _learning_rate(config, steps=1)
    if not callable(rate):
        return 1
    rates = [float(rate(epoch)) for epoch in range(config.epochs + 1)]
    highest = max(rates)
    return next(
        epoch
        for epoch in range(1, config.epochs + 1)
        if rates[epoch] <= _LATE_LEARNING_RATE * highest or epoch == config.epochs
    )


def _run_epochs(
    model: TwoTowerModel,
    dataset: tf.data.Dataset,
    epochs: range,
    steps: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Trains a compiled model on `steps` batches an epoch.

    `keras.Model.fit` is not used: in Keras 3 it fails with
    `MultiWorkerMirroredStrategy` (https://github.com/keras-team/keras/issues/20585) and
    traces the training step twice.
    """
    strategy = tf.distribute.get_strategy()

    # Without AutoGraph, which takes seconds and finds nothing to convert.
    @tf.function(autograph=False, reduce_retracing=True)
    def step(batches: Iterator[dict[str, tf.Tensor]]) -> tf.Tensor:
        losses = strategy.run(model.train_step, args=(next(batches),))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    called = keras.callbacks.CallbackList(
        callbacks, model=model, epochs=epochs.stop, steps=steps
    )
    batches = iter(strategy.experimental_distribute_dataset(dataset))
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


class ProgressCallback(keras.callbacks.Callback):
    """Emits progress events, which the command line shows.

    Args:
      epochs: Epochs of the whole fit.
      done: Epochs that an earlier process has done, if this one resumes its fit.
      targets: Targets of an epoch, for the rate.

    Attributes:
      epoch_seconds: Seconds of each epoch, with the callbacks before this one.
    """

    def __init__(self, epochs: int, done: int = 0, targets: int = 0) -> None:
        super().__init__()
        self._targets = targets
        self._epochs = epochs
        self._epoch = self._done = done
        self._started = self._last = self._epoch_started = time.monotonic()
        self.epoch_seconds: list[float] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._started = time.monotonic()
        self._work: progress.Work | None = None
        if self._done:
            text = f"resumes after epoch {self._done} of {self._epochs}"
            progress.emit("train", text=text)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock of the epoch."""
        self._epoch = epoch
        self._epoch_started = time.monotonic()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Reports at most twice a second: reading the loss waits for the device."""
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_EVENTS:
            done = self._epoch + (batch + 1) / self.params["steps"]
            self._emit(round(done, 3), logs)
            self._report_work(done)

    def _report_work(self, done: float) -> None:
        """Reports targets since the first call: the first step is traced for long."""
        if self._work is None:
            self._first = done
            self._work = progress.Work("targets", done / self._epochs)
        self._work.update(done / self._epochs, self._targets * (done - self._first))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Ends the estimate of the time left, also after an early stop."""
        if self._work is not None:
            self._work.update(1.0, 0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Reports the epoch."""
        self.epoch_seconds.append(time.monotonic() - self._epoch_started)
        measured = logs or {}
        ended = {"recall": measured.get(RECALL), "ndcg": measured.get(MONITORED)}
        self._emit(epoch + 1, logs, **ended)
        self._report_work(epoch + 1)

    def _emit(self, done: float, logs: dict[str, Any] | None, **ended: Any) -> None:
        self._last = time.monotonic()
        progress.emit(
            "train",
            epoch=done,
            epochs=self._epochs,
            loss=float((logs or {}).get("loss", float("nan"))),
            seconds=round(self._last - self._started, 1),
            **ended,
        )
