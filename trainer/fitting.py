"""Fits a model: optimizer, callbacks, early stopping, checkpoints."""

from __future__ import annotations

import math
import time
from typing import Any, Final

import keras

from trainer.checkpoints import Checkpoint
from trainer.config import TrainConfig
from trainer.devices import mean_of_workers
from trainer.dotted_paths import find_class
from trainer.errors import UserError
from trainer.model import TwoTowerModel
from trainer.progress_callback import ProgressCallback
from trainer.train_report import FitReport
from trainer.training_loop import run_epochs
from trainer.validation import MONITORED, Validation
from trainer.windows import Windows, window_dataset

OPTIMIZERS: Final = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "adagrad": keras.optimizers.Adagrad,
    "sgd": keras.optimizers.SGD,
}
_FINAL_LEARNING_RATE: Final = 0.05  # as a fraction of the first


def fit(
    model: TwoTowerModel,
    windows: Windows,
    validation: Windows | None,
    config: TrainConfig,
    log_dir: str,
    *,
    checkpoints: str | None = None,
    is_chief: bool = True,
) -> FitReport:
    """Fits the model to the windows, with the current distribution strategy.

    Args:
      model: An untrained model.
      windows: What to train on.
      validation: Windows to measure recall@10 on after each epoch; None for none.
      config: The section `train` of the configuration.
      log_dir: Folder of TensorBoard's event files.
      checkpoints: Folder of the checkpoint, from which an interrupted fit resumes; None
        for a fit without checkpoints.
      is_chief: Whether this process writes files and reports progress.

    Returns:
      How the fit went; the model has the weights of the best epoch.

    Raises:
      UserError: If the loss is not finite, or workers see different checkpoints.
    """
    steps = math.ceil(len(windows.is_target) / config.batch_size)
    model.compile(optimizer=make_optimizer(config, steps))
    # Built here, since a training step that creates variables would be traced twice.
    model.optimizer.build(model.trainable_variables)
    started = time.monotonic()
    monitor = None if validation is None else Validation(validation, config.patience)
    checkpoint = Checkpoint(checkpoints, monitor, writes=is_chief)
    done = _resume(checkpoint, model)
    epochs = range(done, config.epochs)
    progress = ProgressCallback(config.epochs, done)
    run_epochs(
        model,
        window_dataset(windows, config.batch_size, config.seed, epochs),
        epochs,
        steps,
        _callbacks(monitor, checkpoint, progress, log_dir if is_chief else ""),
    )
    seconds = time.monotonic() - started
    losses = checkpoint.history["loss"]
    _check_finite(losses, config.learning_rate)
    num_targets = int(windows.is_target.sum())
    return FitReport(
        loss=losses,
        recall=checkpoint.history.get(MONITORED, []),
        best_epoch=monitor.best_epoch if monitor else len(losses),
        num_queries=0 if validation is None else len(validation.movies),
        num_targets=num_targets,
        train_seconds=seconds,
        targets_per_second=num_targets * (len(losses) - done) / seconds,
        epoch_seconds=progress.epoch_seconds,
    )


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
    rate: Any = config.learning_rate
    if config.learning_rate_schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            rate, config.epochs * steps, alpha=_FINAL_LEARNING_RATE
        )
    kind = find_class("train.optimizer", config.optimizer, OPTIMIZERS)
    decay = config.weight_decay
    return kind(learning_rate=rate, **({"weight_decay": decay} if decay else {}))


def _callbacks(
    validation: Validation | None,
    checkpoint: Checkpoint,
    progress: ProgressCallback,
    log_dir: str,
) -> list[keras.callbacks.Callback]:
    """Returns the callbacks in order: recall must be in the logs before it is read."""
    board = [keras.callbacks.TensorBoard(log_dir, write_graph=False)] if log_dir else []
    return [
        keras.callbacks.TerminateOnNaN(),
        *([validation] if validation else []),
        checkpoint,
        *board,
        progress,
    ]
