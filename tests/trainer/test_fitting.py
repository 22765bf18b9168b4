"""Fitting: it learns, repeats, validates, stops, and says when it diverges."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures import small_model as small
from tests.trainer.test_model import NUM_TARGETS, batch, make_model
from trainer import features as f
from trainer.errors import UserError
from trainer.fitting import fit, make_optimizer
from trainer.model import TwoTowerModel
from trainer.train_report import FitReport
from trainer.validation import Validation
from trainer.windows import Windows, hold_out_newest, make_windows


def windows() -> Windows:
    return make_windows(small.train_columns(), small.WINDOW_LENGTH)


def fitted(model: TwoTowerModel, folder: Path, **changes: Any) -> FitReport:
    return fit(model, windows(), None, small.train_config(**changes), str(folder))


def found(model: TwoTowerModel) -> float:
    """Share of targets that the model puts first."""
    result = model(batch())
    corpus = model.embed_all_movies()[: small.NUM_MOVIES]
    best = np.argmax(result.queries @ tf.transpose(corpus), axis=1)
    return float(np.mean(best == result.targets))


@pytest.mark.parametrize(
    "loss", ["full_softmax", "sampled_softmax", "in_batch_softmax"]
)
def test_it_learns_what_comes_next(loss: str, tmp_path: Path) -> None:
    model = make_model(loss)
    report = fitted(model, tmp_path)
    assert report.num_targets == NUM_TARGETS
    assert report.best_epoch == len(report.loss) == small.TRAIN.epochs
    if loss == "full_softmax":
        assert report.loss[0] == pytest.approx(math.log(small.NUM_MOVIES), rel=0.1)
    assert found(model) > 0.8


@pytest.mark.parametrize("encoder", ["gru", "attention"])
def test_every_encoder_learns(encoder: str, tmp_path: Path) -> None:
    model = make_model(history_encoder=encoder)
    fitted(model, tmp_path, learning_rate=0.02)
    assert found(model) > 0.8


def test_the_heads_learn_beside_retrieval(tmp_path: Path) -> None:
    model = make_model(weights=(0.1, 0.05), event_features=("rating",))
    untrained = model.total_loss(model(batch(), training=True))
    fitted(model, tmp_path)
    head_loss = model.total_loss(model(batch(), training=True))
    assert float(head_loss) < 0.6 * float(untrained)
    assert found(model) > 0.8


def test_equal_seeds_train_equal_models(tmp_path: Path) -> None:
    losses = [fitted(make_model(), tmp_path, epochs=5).loss for _ in range(2)]
    assert losses[0] == losses[1]


def test_adam_squares_the_sum_of_a_sparse_gradient() -> None:
    """Keras would sum the squares: of each time that a movie stands in the batch."""
    model = make_model(dropout=0.0, user_dropout=0.0)
    model.compile(optimizer=make_optimizer(small.train_config(), steps=1))
    model.train_step(batch())
    variables = {variable.path: variable for variable in model.optimizer.variables}
    momenta = {path: v for path, v in variables.items() if path.endswith("_momentum")}
    assert any("movie" in path for path in momenta)
    for path, momentum in momenta.items():
        gradient = keras.ops.convert_to_numpy(momentum) / (1 - model.optimizer.beta_1)
        velocity = variables[path.replace("_momentum", "_velocity")]
        expected = (1 - model.optimizer.beta_2) * gradient**2
        np.testing.assert_allclose(velocity, expected, rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize("name", ["adam", "adamw", "adagrad", "sgd"])
def test_the_optimizer_is_the_named_one(name: str) -> None:
    settings = small.train_config(optimizer=name, learning_rate=0.25)
    optimizer = make_optimizer(settings, steps=10)
    assert type(optimizer).__name__.lower() == name
    schedule = optimizer._learning_rate
    assert float(schedule(0)) == pytest.approx(0.25)
    assert float(schedule(small.TRAIN.epochs * 10)) == pytest.approx(0.0125)
    constant = make_optimizer(
        dataclasses.replace(settings, learning_rate_schedule="constant"), 10
    )
    assert float(constant.learning_rate) == pytest.approx(0.25)


def test_an_optimizer_of_ones_own_is_found_by_its_path() -> None:
    settings = small.train_config(optimizer="keras.optimizers.Lion")
    assert type(make_optimizer(settings, 10)).__name__ == "Lion"


def test_training_that_diverges_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    model = make_model()
    model.candidate_tower.bias.assign(np.full((small.NUM_MOVIES + 1, 1), np.nan))
    with pytest.raises(UserError, match=r"loss is nan.*train.learning_rate"):
        fitted(model, tmp_path)


def validated(folder: Path, **changes: Any) -> tuple[TwoTowerModel, FitReport]:
    columns = small.train_columns()
    train, validation = hold_out_newest(windows(), columns[f.WINDOW_INDEX], 6, seed=1)
    model = make_model()
    return model, fit(
        model, train, validation, small.train_config(**changes), str(folder)
    )


def test_recall_is_measured_on_what_training_does_not_see(tmp_path: Path) -> None:
    model, report = validated(tmp_path, epochs=4)
    assert report.num_targets == NUM_TARGETS - small.NUM_USERS
    assert len(report.recall) == 4
    # Of twelve movies, seven are seen: one of the other five is always in the top ten.
    assert report.recall[-1] == 1.0


class FixedRecall(Validation):
    """Ranks by a script of recalls, to see what is made of them."""

    def __init__(self, recalls: list[float], patience: int | None) -> None:
        many = windows().take(np.zeros(100, np.int64))
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
def test_training_ends_where_nothing_is_to_gain_and_the_best_is_kept(
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
