"""Validation during training, on events held out of the train split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.devices import mean_of_workers
from trainer.model import TwoTowerModel
from trainer.ranking import PADDING, rank_held_out
from trainer.windows import Windows

MONITORED: Final = "val_recall_at_10"
_CUTOFF: Final = 10
_BATCH_SIZE: Final = 256


def standard_error(share: float, count: int) -> float:
    """Returns the standard error of a share of `count` queries."""
    return math.sqrt(share * (1 - share) / count)


class Validation(keras.callbacks.Callback):
    """Measures recall@10 after each epoch, stops early and keeps the best weights.

    Ranks follow `trainer.ranking`; the events of a window before its target count as
    seen. The callback must come before those that read the logs.

    With a few hundred queries, two epochs differ only if their recalls differ by more
    than the standard error, `sqrt(p * (1 - p) / n)`. The best epoch is therefore the
    *last* whose recall is within one standard error of the highest: the
    one-standard-error rule (Breiman et al. 1984), in favour of later epochs because the
    learning rate falls.

    Args:
      windows: Windows with one target each.
      patience: Training stops after so many epochs whose recall is lower by more than
        the standard error; None for never.
    """

    def __init__(self, windows: Windows, patience: int | None) -> None:
        super().__init__()
        self._windows = windows
        self._patience = math.inf if patience is None else patience
        self._rank_batch = tf.function(
            self._rank, autograph=False, reduce_retracing=True
        )
        self.highest = 0.0
        self.best_epoch = 0
        self._best_weights: list[NDArray[Any]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures recall, and stops training if it has not improved for too long."""
        recall = mean_of_workers(float(np.mean(self.ranks() <= _CUTOFF)))
        if logs is not None:
            logs[MONITORED] = recall
        self.highest = max(self.highest, recall)
        error = standard_error(self.highest, len(self._windows.movies))
        if recall >= self.highest - error:
            self.best_epoch = epoch + 1
            self._best_weights = self.model.get_weights()
        elif epoch + 1 - self.best_epoch >= self._patience:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Restores the weights of the best epoch."""
        if self._best_weights:
            self.model.set_weights(self._best_weights)

    def state(self) -> dict[str, NDArray[Any]]:
        """Returns the state after the epochs so far, for `trainer.checkpoints`."""
        best = {f"best_{i}": weight for i, weight in enumerate(self._best_weights)}
        return best | {"validated": np.array([self.highest, self.best_epoch])}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restores what `state` returned.

        Raises:
          KeyError: If an array is missing.
        """
        highest, best_epoch = state["validated"]
        count = sum(name.startswith("best_") for name in state)
        self._best_weights = [state[f"best_{i}"] for i in range(count)]
        self.highest, self.best_epoch = float(highest), int(best_epoch)

    def ranks(self) -> NDArray[np.int32]:
        """Ranks each window's target among the corpus: `[windows]`, from 1."""
        embeddings = self.model.embed_all_movies()
        ranks = [
            self._rank_batch(
                self._windows.take(slice(start, start + _BATCH_SIZE)).tensors(),
                embeddings,
            )
            for start in range(0, len(self._windows.movies), _BATCH_SIZE)
        ]
        return np.concatenate(ranks)

    def _rank(self, batch: dict[str, tf.Tensor], embeddings: tf.Tensor) -> tf.Tensor:
        model: TwoTowerModel = self.model
        retrieval = model(batch, training=False)
        corpus = embeddings[: model.num_movies]
        scores = tf.matmul(retrieval.queries, corpus, transpose_b=True)
        seen = tf.where(batch["is_target"], PADDING, batch["movies"])
        held_out = retrieval.targets[:, None]
        ranking = rank_held_out(tf.cast(scores, tf.float32), seen, held_out, 1)
        return ranking.rank[:, 0]
