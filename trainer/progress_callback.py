"""Reports the progress of training."""

from __future__ import annotations

import time
from typing import Any

import keras

from trainer import progress
from trainer.validation import MONITORED

_SECONDS_BETWEEN_EVENTS = 0.5


class ProgressCallback(keras.callbacks.Callback):
    """Emits progress events, which the command line shows.

    Args:
      epochs: Epochs of the whole fit.
      done: Epochs that an earlier process has done, if this one resumes its fit.

    Attributes:
      epoch_seconds: Seconds of each epoch, with the callbacks before this one.
    """

    def __init__(self, epochs: int, done: int = 0) -> None:
        super().__init__()
        self._epochs = epochs
        self._epoch = self._done = done
        self._started = self._last = self._epoch_started = time.monotonic()
        self.epoch_seconds: list[float] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._started = time.monotonic()
        if self._done:
            text = f"resumes at epoch {self._done + 1} of {self._epochs}"
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
            steps = self.params.get("steps") or 0
            done = self._epoch + ((batch + 1) / steps if steps else 0.0)
            self._emit(round(done, 3), logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Reports the epoch."""
        self.epoch_seconds.append(time.monotonic() - self._epoch_started)
        self._emit(epoch + 1, logs, recall=(logs or {}).get(MONITORED))

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
