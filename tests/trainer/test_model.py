"""The model over whole windows: what it predicts and what it may depend on."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures import small_model as small
from trainer.errors import UserError
from trainer.losses import LossContext, make_loss
from trainer.model import TwoTowerModel
from trainer.towers import CandidateTower
from trainer.windows import make_windows, window_dataset

NUM_TARGETS = small.NUM_USERS * small.WINDOW_LENGTH
WIDTH = small.MODEL.embedding_dim + small.MODEL.time_dim + 1


def make_model(
    loss: str = "full_softmax", weights: tuple[float, float] = (0, 0), **changes: Any
) -> TwoTowerModel:
    keras.utils.set_random_seed(1)
    counts = np.full(small.NUM_MOVIES, 4)
    return TwoTowerModel(
        small.context(**changes),
        make_loss(LossContext(small.train_config(loss=loss), counts)),
        *weights,
    )


def batch() -> dict[str, tf.Tensor]:
    windows = make_windows(small.train_columns(), small.WINDOW_LENGTH)
    first: dict[str, tf.Tensor] = next(
        iter(window_dataset(windows, small.NUM_USERS, 1))
    )
    return first


def by_window(queries: tf.Tensor) -> np.ndarray:
    return np.reshape(queries, (small.NUM_USERS, small.WINDOW_LENGTH, WIDTH))


def perturb(layer: keras.layers.Layer) -> None:
    """Moves all weights, for many start at zero."""
    rng = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        variable.assign_add(rng.normal(scale=0.3, size=variable.shape))


def test_the_bias_is_part_of_the_dot_product() -> None:
    model = make_model()
    bias = np.full((small.NUM_MOVIES + 1, 1), 2.5)
    model.candidate_tower.bias.assign_add(bias)
    result = model(batch())
    assert result.queries.shape == (NUM_TARGETS, WIDTH)
    assert result.candidates.shape == (small.NUM_MOVIES, WIDTH)
    np.testing.assert_array_equal(result.queries[:, -1], 1.0)
    np.testing.assert_array_equal(result.candidates[:, -1], 2.5)


@pytest.mark.parametrize("encoder", ["pool", "gru", "attention"])
def test_a_query_never_depends_on_its_own_or_a_later_event(encoder: str) -> None:
    model = make_model(
        history_encoder=encoder, event_features=("rating", "gap"), cross_layers=1
    )
    perturb(model)
    inputs = batch()
    before = model(inputs)
    changed = {
        "movies": (inputs["movies"] + 5) % small.NUM_MOVIES,
        "ratings": 5.5 - inputs["ratings"],
        "timestamps": inputs["timestamps"] * 50,
    }
    for name, values in changed.items():
        old = inputs[name].numpy()
        old[:, 4:] = values.numpy()[:, 4:]
        changed[name] = tf.constant(old)
    after = model({**inputs, **changed})
    first, second = by_window(before.queries), by_window(after.queries)
    np.testing.assert_array_equal(first[:, :5], second[:, :5])
    assert (first[:, 5:] != second[:, 5:]).any(axis=2).all()


@pytest.mark.parametrize(
    "name, values",
    [("ratings", 1.0), ("timestamps", 5)],
)
def test_ratings_and_times_of_the_history_are_read(name: str, values: float) -> None:
    model = make_model(event_features=("rating", "gap"))
    perturb(model)
    inputs = batch()
    before = model(inputs).queries
    other = tf.cast(tf.fill(inputs[name].shape, values), inputs[name].dtype)
    after = model({**inputs, name: other}).queries
    assert np.abs(before - after).max() > 1e-3


def test_time_alone_moves_the_query_to_another_bucket() -> None:
    model = make_model()
    inputs = batch()
    early, late = (
        by_window(
            model({**inputs, "timestamps": inputs["timestamps"] * 0 + time}).queries
        )
        for time in (0, 100)
    )
    dim = small.MODEL.embedding_dim
    np.testing.assert_array_equal(early[:, :, :dim], late[:, :, :dim])
    assert (early[:, 1:, dim:-1] != late[:, 1:, dim:-1]).all()
    # Before the first event nothing tells the time.
    np.testing.assert_array_equal(early[:, 0], late[:, 0])


def test_context_and_padding_are_no_targets() -> None:
    model = make_model()
    inputs = batch()
    is_target = np.zeros((small.NUM_USERS, small.WINDOW_LENGTH), bool)
    is_target[0, 2] = is_target[3, 7] = True
    result = model({**inputs, "is_target": tf.constant(is_target)})
    movies = inputs["movies"].numpy()
    np.testing.assert_array_equal(result.targets, [movies[0, 2], movies[3, 7]])
    assert result.queries.shape[0] == 2


@pytest.mark.parametrize("loss", ["sampled_softmax", "in_batch_softmax"])
def test_a_loss_without_the_whole_corpus_sees_the_same_embeddings(loss: str) -> None:
    full, part = make_model()(batch()), make_model(loss)(batch())
    corpus = np.asarray(full.candidates)
    np.testing.assert_allclose(part.queries, full.queries, atol=1e-6)
    np.testing.assert_allclose(part.positives, full.positives, atol=1e-6)
    expected = corpus[part.candidate_ids.numpy()]
    np.testing.assert_allclose(part.candidates, expected, atol=1e-6)


def test_a_movie_nobody_rated_is_embedded_by_what_it_shares_with_others() -> None:
    model = make_model(cross_layers=1)
    perturb(model)
    tower = model.candidate_tower
    for table in (tower.movie, tower.time, tower.bias):
        table.assign(np.zeros(table.shape))
    embeddings = np.asarray(model.embed_all_movies())
    # Genres and title words go by fours, decades by threes.
    assert np.abs(embeddings[0] - embeddings[4]).max() > 0.01
    tower.decade.assign(np.zeros(tower.decade.shape))
    tower.year.assign(np.zeros(tower.year.shape))
    tower.title.assign(np.zeros(tower.title.shape))
    embeddings = np.asarray(model.embed_all_movies())
    np.testing.assert_allclose(embeddings[0], embeddings[4], atol=1e-6)
    assert np.abs(embeddings[0] - embeddings[1]).max() > 0.1


def test_an_unrated_movie_has_the_unknown_movies_id_and_bias() -> None:
    context = small.context()
    is_rated = context.movies.is_rated.copy()
    is_rated[2] = False
    tower = CandidateTower(
        context._replace(movies=context.movies._replace(is_rated=is_rated))
    )
    perturb(tower)
    for table in (tower.genre, tower.decade, tower.year, tower.title):
        table.assign(np.zeros(table.shape))
    rows = tower(tf.range(small.NUM_MOVIES + 1)).numpy()
    np.testing.assert_array_equal(rows[2], rows[-1])
    assert (rows[3] != rows[-1]).all()


def test_training_shows_some_movies_by_their_attributes_alone() -> None:
    tower = CandidateTower(small.context(movie_dropout=0.3))
    perturb(tower)
    usual = tower(tf.range(small.NUM_MOVIES)).numpy()
    hidden = [
        np.any(tower(tf.range(small.NUM_MOVIES), training=True) != usual, axis=1)
        for _ in range(100)
    ]
    assert np.mean(hidden) == pytest.approx(0.3, abs=0.06)


def test_titles_are_the_mean_of_their_words() -> None:
    model = make_model(movie_features=("title",))
    perturb(model)
    tower, titles = model.candidate_tower, small.candidate_features().title_tokens
    embeddings = np.asarray(model.embed_all_movies())
    table = np.asarray(tower.title)
    for movie, words in enumerate(titles):
        known = table[words[words >= 0]]
        expected = known.mean(axis=0) if len(known) else np.zeros(table.shape[1])
        np.testing.assert_allclose(embeddings[movie, :8], expected, atol=1e-6)


def test_only_the_named_features_count() -> None:
    model = make_model(
        history_encoder="none",
        movie_features=("id",),
        user_attributes=False,
        time_dim=0,
        hidden_units=0,
        item_bias=False,
    )
    result = model(batch())
    user = np.asarray(model.query_tower.user)[batch()["user_index"]]
    np.testing.assert_allclose(
        np.reshape(result.queries, (small.NUM_USERS, small.WINDOW_LENGTH, 9))[:, 3, :8],
        user,
        atol=1e-6,
    )
    movies = np.asarray(model.candidate_tower.movie)[:-1]
    np.testing.assert_allclose(result.candidates[:, :8], movies)
    trainable = {variable.path for variable in model.trainable_variables}
    assert not any("bias" in path for path in trainable)


def test_further_losses_are_added_by_their_weight() -> None:
    inputs = batch()

    def loss(*weights: float) -> float:
        model = make_model(weights=weights, dropout=0.0, user_dropout=0.0)
        return float(model.total_loss(model(inputs, training=True)))

    plain = loss(0, 0)
    rating, doubled = loss(1, 0) - plain, loss(2, 0) - plain
    assert rating > 0.1
    assert doubled == pytest.approx(2 * rating, rel=1e-4)
    assert loss(0, 1) - plain > 0.1


class GenreBlindTower(CandidateTower):
    """A tower of somebody's own."""

    def features(self, indices: tf.Tensor, ids: tf.Tensor) -> list[tf.Tensor]:
        return super().features(indices, ids)[:1]


def test_a_tower_of_ones_own_is_found_by_its_path() -> None:
    model = make_model(candidate_tower=f"{__name__}.GenreBlindTower")
    assert isinstance(model.candidate_tower, GenreBlindTower)
    perturb(model)
    assert model(batch()).candidates.shape == (small.NUM_MOVIES, WIDTH)
    with pytest.raises(
        UserError, match=r"model.history_encoder is 'lstm', .*attention"
    ):
        make_model(history_encoder="lstm")
