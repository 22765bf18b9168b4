"""Fitting: it learns, repeats with the seed, and reports divergence."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.fixtures import small_model as small
from trainer import features as f
from trainer.errors import UserError
from trainer.fitting import fit, make_optimizer
from trainer.model import TwoTowerModel
from trainer.train_report import FitReport
from trainer.windows import hold_out_newest


@pytest.mark.parametrize(
    "loss",
    [
        "full_softmax",
        pytest.param("sampled_softmax", marks=pytest.mark.slow),
        pytest.param("in_batch_softmax", marks=pytest.mark.slow),
    ],
)
def test_every_loss_learns_the_next_event(loss: str, tmp_path: Path) -> None:
    model = small.make_model(loss)
    report = small.fitted(model, tmp_path)
    assert report.num_targets == small.NUM_TARGETS
    assert report.best_epoch == len(report.loss) == small.TRAIN.epochs
    if loss == "full_softmax":
        assert report.loss[0] == pytest.approx(math.log(small.NUM_MOVIES), rel=0.1)
    assert small.top_hit_rate(model) > 0.8


@pytest.mark.parametrize("encoder", ["gru", "attention"])
@pytest.mark.slow  # trains until the model has learned
def test_every_encoder_learns(encoder: str, tmp_path: Path) -> None:
    model = small.make_model(history_encoder=encoder)
    small.fitted(model, tmp_path, learning_rate=0.02)
    assert small.top_hit_rate(model) > 0.8


@pytest.mark.slow  # trains until the model has learned
def test_auxiliary_losses_are_learned_beside_retrieval(tmp_path: Path) -> None:
    model = small.make_model(weights=(0.1, 0.05), event_features=("rating",))
    untrained = model.total_loss(model(small.batch(), training=True))
    small.fitted(model, tmp_path)
    head_loss = model.total_loss(model(small.batch(), training=True))
    assert float(head_loss) < 0.6 * float(untrained)
    assert small.top_hit_rate(model) > 0.8


@pytest.mark.slow  # trains until the model has learned
def test_equal_seeds_train_equal_models(tmp_path: Path) -> None:
    losses = [
        small.fitted(small.make_model(), tmp_path, epochs=5).loss for _ in range(2)
    ]
    assert losses[0] == losses[1]


def test_adam_squares_the_sum_of_a_sparse_gradient() -> None:
    """Keras would sum the squares: of each time that a movie stands in the batch."""
    model = small.make_model(dropout=0.0, user_dropout=0.0)
    model.compile(optimizer=make_optimizer(small.train_config(), steps=1))
    model.train_step(small.batch())
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
    assert type(optimizer).__name__.lower().removeprefix("row") == name
    schedule = optimizer._learning_rate
    assert float(schedule(0)) == pytest.approx(0.25)
    assert float(schedule(small.TRAIN.epochs * 10)) == pytest.approx(0.0125)
    constant = make_optimizer(
        dataclasses.replace(settings, learning_rate_schedule="constant"), 10
    )
    assert float(constant.learning_rate) == pytest.approx(0.25)


def test_a_custom_optimizer_is_found_by_its_dotted_path() -> None:
    settings = small.train_config(optimizer="keras.optimizers.Lion")
    assert type(make_optimizer(settings, 10)).__name__ == "Lion"


def test_training_that_diverges_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    model = small.make_model()
    model.candidate_tower.bias.assign(np.full((small.NUM_MOVIES + 1, 1), np.nan))
    with pytest.raises(UserError, match=r"loss is nan.*train.learning_rate"):
        small.fitted(model, tmp_path)


def validated(folder: Path, **changes: Any) -> tuple[TwoTowerModel, FitReport]:
    columns = small.train_columns()
    train, validation = hold_out_newest(
        small.windows(), columns[f.WINDOW_INDEX], 6, seed=1
    )
    model = small.make_model()
    return model, fit(
        model, train, validation, small.train_config(**changes), str(folder)
    )


def test_recall_is_measured_on_what_training_does_not_see(tmp_path: Path) -> None:
    model, report = validated(tmp_path, epochs=4)
    assert report.num_targets == small.NUM_TARGETS - small.NUM_USERS
    assert len(report.recall) == 4
    # Of twelve movies, seven are seen: one of the other five is always in the top ten.
    assert report.recall[-1] == 1.0
