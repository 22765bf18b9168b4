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

# What epochs and the Tuner's trials are compared by, and what people read beside it.
MONITORED: Final = "val_ndcg"
RECALL: Final = "val_recall_at_10"
_CUTOFF: Final = 10
_BATCH_SIZE: Final = 256
# Standard normal quantile of a one-sided test at 0.99: the best of several epochs is
# partly the luckiest.
_BEYOND_NOISE: Final = 2.326


def gains(ranks: NDArray[Any]) -> NDArray[np.float64]:
    """Returns `1 / log2(1 + rank)` of each rank: NDCG without a cut-off.

    Its mean moves with every rank, where recall@10 sees only those that cross 10, and
    it does not depend on the scale of the scores, as the likelihood does.
    """
    return 1 / np.log2(1.0 + ranks)


def standard_error(values: NDArray[Any]) -> float:
    """Returns the standard error of the mean of `[n]` values, 0 for a single one."""
    count = len(values)
    return float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else 0.0


class Validation(keras.callbacks.Callback):
    """Measures each epoch, stops a fit that only gets worse, keeps the right weights.

    Ranks follow `trainer.ranking`; the events of a window before its target count as
    seen. The callback must come before those that read the logs.

    Epochs are compared on the same queries, pair by pair: the highest epoch so far *is
    better* than a later one if the mean difference of their `gains` is more than
    `_BEYOND_NOISE` of its standard errors. The model keeps the weights of the last
    epoch unless an earlier one is better, since the end of a falling learning rate is
    where a model gains most.

    Args:
      windows: Windows with one target each.
      patience: Training stops after so many epochs in a row than which an earlier one
        is better; None for never.
      counts_from: The first epoch, from 1, that counts for `patience`. While the
        learning rate is high a worse epoch says little of where the fit will end.

    Attributes:
      best_epoch: The epoch, from 1, whose weights are kept if training ends now.
      values: float64 `[windows]`, gains of that epoch.
    """

    def __init__(
        self, windows: Windows, patience: int | None, counts_from: int = 1
    ) -> None:
        super().__init__()
        self._windows = windows
        self._weights = np.ones(len(windows.movies))
        self._patience = math.inf if patience is None else patience
        self._counts_from = counts_from
        self._rank_batch = tf.function(
            self._rank, autograph=False, reduce_retracing=True
        )
        self.best_epoch = 0
        self.values = np.zeros(len(windows.movies))
        self._worse = 0  # epochs in a row
        # The epoch with the highest mean.
        self._highest_epoch = 0
        self._highest_mean = -math.inf
        self._highest = self.values
        self._highest_weights: list[NDArray[Any]] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Weighs the queries as the loss does; the mean of the weights is 1."""
        ratings = self._windows.ratings[self._windows.is_target]
        weights = self.model.target_weights(tf.constant(ratings)).numpy()
        if weights.any():
            self._weights = weights / weights.mean(dtype=np.float64)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures the epoch, and stops training if it has been worse for too long."""
        ranks = self.ranks()
        values = gains(ranks) * self._weights
        if logs is not None:
            logs[RECALL] = mean_of_workers(float(np.mean(ranks <= _CUTOFF)))
        mean = mean_of_workers(float(values.mean()))
        if logs is not None:
            logs[MONITORED] = mean
        self._compare(epoch + 1, values, mean)
        if self._worse >= self._patience:
            self.model.stop_training = True

    def _compare(self, epoch: int, values: NDArray[np.float64], mean: float) -> None:
        """Compares an epoch with the highest before it; all workers decide alike."""
        if mean >= self._highest_mean:
            self._highest_epoch, self._highest_mean = epoch, mean
            self._highest, self._highest_weights = values, self.model.get_weights()
        lost = self._highest - values
        excess = lost.mean() - _BEYOND_NOISE * standard_error(lost)
        if mean_of_workers(float(excess)) > 0:
            self.best_epoch, self.values = self._highest_epoch, self._highest
            self._worse += epoch >= self._counts_from
        else:
            self.best_epoch, self.values = epoch, values
            self._worse = 0

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Restores the weights of the best epoch, if that is not the last."""
        if self._highest_weights and self.best_epoch == self._highest_epoch:
            self.model.set_weights(self._highest_weights)

    def state(self) -> dict[str, NDArray[Any]]:
        """Returns the state after the epochs so far, for `trainer.checkpoints`."""
        weights = self._highest_weights
        return {f"highest_{i}": weight for i, weight in enumerate(weights)} | {
            "validated": np.array([self.best_epoch, self._worse, self._highest_epoch]),
            "validated_mean": np.array(self._highest_mean),
            "validated_values": np.array([self.values, self._highest]),
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restores what `state` returned.

        Raises:
          KeyError: If an array is missing.
        """
        numbers, mean = state["validated"].tolist(), float(state["validated_mean"])
        values, highest = state["validated_values"]
        count = sum(name.startswith("highest_") for name in state)
        self._highest_weights = [state[f"highest_{i}"] for i in range(count)]
        self.best_epoch, self._worse, self._highest_epoch = numbers
        self._highest_mean, self.values, self._highest = mean, values, highest

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
