"""Targets that count by their rating."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures import small_model as small
from trainer.losses import LossContext, make_loss
from trainer.movielens import HALF_STARS, RatingScale
from trainer.target_weights import TargetWeights
from trainer.training import train_model


@pytest.mark.parametrize(
    "setting, weights",
    [
        ("equal", [1, 1, 1, 1]),
        ("liked", [0.1, 0.1, 1, 1]),
        ({3: 0.5, 4.0: 2}, [0, 0.5, 2, 2]),
        ({3.6: 1}, [0, 0, 1, 1]),
    ],
)
def test_a_target_counts_by_its_rating(setting: object, weights: list[float]) -> None:
    found = TargetWeights.of(setting, HALF_STARS)(tf.constant([0.5, 3.5, 4.0, 5.0]))
    np.testing.assert_allclose(found, weights)


def test_liked_is_relative_to_the_scale() -> None:
    weights = TargetWeights.of("liked", RatingScale(1, 10, 1))
    np.testing.assert_allclose(weights(tf.constant([[7.0, 8.0]])), [[0.1, 1.0]])


def test_ratings_rounded_to_half_precision_count_as_what_they_were() -> None:
    """2.3 of bfloat16 is 2.297."""
    scale = RatingScale(0.7, 5, 0.1)
    ratings = np.arange(7, 51) / 10
    rounded = tf.cast(ratings, tf.bfloat16)
    assert np.all(TargetWeights.of("equal", scale)(rounded) == 1)
    for bound in ratings:
        weights = TargetWeights.of({float(bound): 1}, scale)(rounded)
        np.testing.assert_array_equal(weights, ratings >= bound)


@pytest.mark.parametrize(
    "loss", ["full_softmax", "sampled_softmax", "in_batch_softmax"]
)
@pytest.mark.parametrize("hard_negatives", [0, 2])
def test_the_loss_is_the_weighted_mean(loss: str, hard_negatives: int) -> None:
    config = small.train_config(loss=loss, hard_negatives=hard_negatives)

    def value(step: object) -> float:
        # Made anew for each, so that all draw the same negatives.
        counts = np.full(small.NUM_MOVIES, 4)
        return float(make_loss(LossContext(config, counts))(step))

    step = small.make_model(loss)(small.batch())
    count = step.queries.shape[0]
    one = np.eye(count, dtype=np.float32)
    alone = [value(step._replace(weights=one[i])) for i in (0, 3)]
    both = step._replace(weights=0.25 * one[0] + 0.75 * one[3])
    assert value(both) == pytest.approx(0.25 * alone[0] + 0.75 * alone[1], rel=1e-5)
    assert value(step) == pytest.approx(value(step._replace(weights=None)), rel=1e-6)
    assert value(step._replace(weights=tf.zeros(count))) == 0


def test_a_trained_model_weighs_each_target_by_its_own_rating(tmp_path: Path) -> None:
    train = small.train_config(target_weight={0.5: 0.25, 3: 1.0}, epochs=1)
    config = small.trainer_config(train=train)
    model = train_model(small.training_data(), config, str(tmp_path)).model
    batch = small.batch()
    found = model(batch)
    ratings = tf.boolean_mask(batch["ratings"], batch["is_target"]).numpy()
    movies = tf.boolean_mask(batch["movies"], batch["is_target"])
    np.testing.assert_array_equal(found.targets, movies)
    np.testing.assert_array_equal(found.weights, np.where(ratings < 3, 0.25, 1))


def test_no_rating_may_count_at_all() -> None:
    with pytest.raises(ValueError, match="no rating has a weight above 0"):
        dataclasses.replace(small.TRAIN, target_weight={4.0: 0.0})
