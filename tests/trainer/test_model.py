"""The model over whole windows: what it predicts, learns, and refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import UserError
from tests.fixtures import small_model as small
from trainer.input_pipeline import window_dataset
from trainer.losses import FullSoftmax, RetrievalLoss, SampledSoftmax
from trainer.model import TwoTowerModel, build_model
from trainer.training import fit


def make_model(loss: RetrievalLoss | None = None, **overrides: Any) -> TwoTowerModel:
    keras.utils.set_random_seed(1)
    return build_model(
        small.candidate_features(),
        small.NUM_USERS,
        small.ATTRIBUTE_SIZES,
        {**small.CONFIG["model"], **overrides},
        loss=loss or FullSoftmax(small.NUM_MOVIES),
        seed=1,
    )


def windows(batch_size: int = small.NUM_USERS) -> dict[str, tf.Tensor]:
    dataset = window_dataset(
        small.train_columns(), small.WINDOW_LENGTH, batch_size, seed=1
    )
    batch: dict[str, tf.Tensor] = next(iter(dataset))
    return batch


def test_the_bias_is_part_of_the_dot_product() -> None:
    model = make_model()
    model(windows())
    model.candidate_tower.bias.assign_add(np.full((small.NUM_MOVIES + 1, 1), 2.5))
    result = model(windows())
    assert result.queries.shape == (small.NUM_USERS * small.WINDOW_LENGTH, 9)
    assert result.candidates.shape == (small.NUM_MOVIES, 9)
    np.testing.assert_array_equal(result.queries[:, -1], 1.0)
    np.testing.assert_array_equal(result.candidates[:, -1], 2.5)


def test_a_query_never_depends_on_its_own_or_a_later_event() -> None:
    model = make_model(dropout=0.0, user_dropout=0.0)
    batch = windows()
    before = model(batch)
    movies = batch["movie_indices"].numpy()
    movies[:, 4:] = (movies[:, 4:] + 5) % small.NUM_MOVIES
    after = model({**batch, "movie_indices": tf.constant(movies)})
    shape = (small.NUM_USERS, small.WINDOW_LENGTH, -1)
    old, new = (np.reshape(result.queries, shape) for result in (before, after))
    np.testing.assert_array_equal(old[:, :5], new[:, :5])
    assert (old[:, 5:] != new[:, 5:]).any(axis=2).all()


def test_context_and_padding_are_no_targets() -> None:
    model = make_model()
    batch = windows()
    is_target = np.zeros((small.NUM_USERS, small.WINDOW_LENGTH), bool)
    is_target[0, 2] = is_target[3, 7] = True
    result = model({**batch, "is_target": tf.constant(is_target)})
    movies = batch["movie_indices"].numpy()
    np.testing.assert_array_equal(result.targets, [movies[0, 2], movies[3, 7]])
    assert result.queries.shape[0] == 2


def test_a_movie_nobody_rated_is_embedded_by_what_it_shares_with_others() -> None:
    model = make_model()
    model(windows())
    tower = model.candidate_tower
    tower.genre.assign(np.random.default_rng(0).normal(size=tower.genre.shape))
    tower.movie.assign(np.zeros(tower.movie.shape))
    embeddings = np.asarray(model.embed_all_movies())
    np.testing.assert_allclose(embeddings[0], embeddings[4])  # the same genre
    assert np.abs(embeddings[0] - embeddings[1]).max() > 0.1
    np.testing.assert_array_equal(embeddings[-1], 0.0)  # the unknown movie


def test_it_learns_what_comes_next(tmp_path: Path) -> None:
    model = make_model()
    report = fit(model, small.train_columns(), small.CONFIG, str(tmp_path))
    assert report["num_targets"] == small.NUM_USERS * small.WINDOW_LENGTH
    assert report["loss"][0] == pytest.approx(np.log(small.NUM_MOVIES), rel=0.1)
    result = model(windows())
    found = np.argmax(result.queries @ tf.transpose(result.candidates), axis=1)
    assert np.mean(found == result.targets) > 0.8


def test_it_learns_from_a_sample_of_the_corpus(tmp_path: Path) -> None:
    counts = np.full(small.NUM_MOVIES, 4)
    model = make_model(SampledSoftmax(counts, num_negatives=30, seed=1))
    fit(model, small.train_columns(), small.CONFIG, str(tmp_path))
    queries = model(windows())
    corpus = model.embed_all_movies()[: small.NUM_MOVIES]
    found = np.argmax(queries.queries @ tf.transpose(corpus), axis=1)
    assert np.mean(found == queries.targets) > 0.8


def test_equal_seeds_train_equal_models(tmp_path: Path) -> None:
    losses = [
        fit(make_model(), small.train_columns(), small.CONFIG, str(tmp_path))["loss"]
        for _ in range(2)
    ]
    assert losses[0] == losses[1]


def test_training_that_diverges_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    model = make_model()
    model(windows())
    model.candidate_tower.bias.assign(np.full((small.NUM_MOVIES + 1, 1), np.nan))
    with pytest.raises(UserError, match=r"loss is nan.*train.learning_rate"):
        fit(model, small.train_columns(), small.CONFIG, str(tmp_path))
