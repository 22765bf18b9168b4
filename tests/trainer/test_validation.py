"""Early stopping, and which epoch's weights are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fixtures import small_model as small
from trainer import features as f
from trainer.input_pipeline import TrainingData
from trainer.training import train_model
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


def test_without_a_user_to_validate_on_all_epochs_are_trained(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Users with two ratings have one event in training: none is before it."""
    columns = small.train_columns() | {
        f.MOVIE_INDICES: small.ragged([[user] for user in range(small.NUM_USERS)]),
        f.RATINGS: small.ragged([[4.0]] * small.NUM_USERS, np.float32),
        f.TIMESTAMPS: small.ragged([[user] for user in range(small.NUM_USERS)]),
    }
    data = TrainingData(columns, small.corpus(), small.NUM_USERS)
    train = small.train_config(validation_queries=6, epochs=3)
    config = small.trainer_config(train=train)
    report = train_model(data, config, str(tmp_path / "logs")).report
    assert len(report.loss) == 3
    assert report.recall == []
    assert report.num_queries == 0
    assert "no user has enough events to validate on" in caplog.text
