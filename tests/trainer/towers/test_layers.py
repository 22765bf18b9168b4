"""Layers of the towers: dropout by bytes, and what ratings of any scale become."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from trainer.auxiliary_losses import RatingHead
from trainer.config import ModelConfig
from trainer.movielens import HALF_STARS, RatingScale
from trainer.towers.layers import ByteDropout, EventSignals

# A width that is no multiple of the bytes of one draw.
INPUTS = np.ones((4000, 7), np.float32)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75])
def test_the_rate_is_dropped_and_the_mean_is_kept(rate: float) -> None:
    result = np.array(ByteDropout(rate, seed=1)(INPUTS, training=True))
    assert np.mean(result == 0, axis=0) == pytest.approx([rate] * 7, abs=0.04)
    assert result.mean() == pytest.approx(1, abs=0.04)
    assert len(np.unique(result)) == 2


def test_draws_are_independent_between_calls_and_values() -> None:
    dropout = ByteDropout(0.5, seed=1)
    first, second = (np.array(dropout(INPUTS, training=True)) for _ in range(2))
    assert np.mean(first == second) == pytest.approx(0.5, abs=0.02)
    assert np.corrcoef(first.T)[0, 1:] == pytest.approx([0] * 6, abs=0.06)


def test_outside_training_and_without_a_rate_nothing_is_dropped() -> None:
    assert (np.array(ByteDropout(0.5, seed=1)(INPUTS)) == INPUTS).all()
    assert (np.array(ByteDropout(0.0, seed=1)(INPUTS, training=True)) == INPUTS).all()


def test_the_highest_rate_keeps_some_values() -> None:
    result = np.array(ByteDropout(0.999, seed=1)(INPUTS, training=True))
    assert np.isfinite(result).all() and result.any()


SCALES = [(0.5, 5, 0.5), (1, 5, 1), (1, 10, 1), (0, 1, 1), (0, 100, 1), (0.1, 1, 0.1)]


@pytest.mark.parametrize("values", SCALES)
def test_every_rating_of_a_scale_has_a_row_of_its_own(
    values: tuple[float, float, float],
) -> None:
    scale = RatingScale(*values)
    config = ModelConfig(embedding_dim=2, event_features=("rating",))
    signals = EventSignals(
        SimpleNamespace(config=config, embedding_dim=2, rating_scale=scale)
    )
    (table,) = signals.trainable_variables
    table.assign(np.arange(table.shape[0])[:, None] * np.ones((1, 2)))
    ratings = np.linspace(*values[:2], scale.num_ratings).astype(np.float32)

    rows = np.array(signals(ratings[None, :], np.zeros((1, len(ratings)), np.int64)))

    assert rows[0, :, 0].tolist() == [*range(1, scale.num_ratings + 1)]
    outside = np.array([[values[1] + 1, -1, np.nan]], np.float32)
    beyond = np.array(signals(outside, np.zeros((1, 3), np.int64)))[0, :, 0]
    assert beyond.tolist() == [scale.num_ratings, 0, 0]


@pytest.mark.parametrize("values", SCALES)
def test_the_loss_of_ratings_is_in_stars_on_every_scale(
    values: tuple[float, float, float],
) -> None:
    scale = RatingScale(*values)
    stars = np.array([0.5, 2.75, 5], np.float32)
    own = scale.lowest + (stars - 0.5) / 4.5 * (scale.highest - scale.lowest)
    losses = []
    for head, ratings in (
        (RatingHead(2, HALF_STARS), stars),
        (RatingHead(2, scale), own.astype(np.float32)),
    ):
        for variable in head.trainable_variables:
            variable.assign(np.ones(variable.shape))
        losses.append(float(head(INPUTS[:3, :2], INPUTS[:3, :2], ratings)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
