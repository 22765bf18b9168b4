"""Early stopping, and which epoch's weights are kept."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fixtures import small_model as small
from trainer.validation import Validation


class FixedRecall(Validation):
    """Ranks by a script of recalls, to see what is made of them."""

    def __init__(self, recalls: list[float], patience: int | None) -> None:
        many = small.windows().take(np.zeros(100, np.int64))
        super().__init__(many, patience)
        self._script = iter(recalls)

    def ranks(self) -> np.ndarray:
        hits = round(100 * next(self._script))
        return np.where(np.arange(100) < hits, 1, 99)


class Stub:
    """Counts as the model: its weights are the epoch."""

    stop_training = False
    epoch = 0

    def get_weights(self) -> list[int]:
        return [self.epoch]

    def set_weights(self, weights: list[int]) -> None:
        self.restored = weights[0]


@pytest.mark.parametrize(
    "recalls, patience, epochs, best",
    [
        ([0.1, 0.5, 0.48, 0.47, 0.49], 2, 5, 5),  # within the error of .05: the last
        ([0.1, 0.5, 0.3, 0.3, 0.3], 2, 4, 2),
        ([0.1, 0.5, 0.3, 0.5, 0.3], 2, 5, 4),
        ([0.1, 0.5, 0.3, 0.3, 0.3], None, 5, 2),
        ([0.0, 0.0, 0.0], 1, 3, 3),
    ],
)
def test_training_stops_without_improvement_and_keeps_the_best_epoch(
    recalls: list[float], patience: int | None, epochs: int, best: int
) -> None:
    callback, model = FixedRecall(recalls, patience), Stub()
    callback.set_model(model)
    for epoch in range(len(recalls)):
        model.epoch = epoch + 1
        callback.on_epoch_end(epoch, {})
        if model.stop_training:
            break
    callback.on_train_end()
    assert (model.epoch, model.restored, callback.best_epoch) == (epochs, best, best)
