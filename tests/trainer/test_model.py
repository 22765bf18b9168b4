"""The model over whole windows: what it predicts and what it may depend on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures import small_model as small
from trainer.errors import UserError
from trainer.towers import CandidateTower, QueryTower

WIDTH = small.MODEL.embedding_dim + small.MODEL.time_dim + 1


def by_window(queries: tf.Tensor) -> np.ndarray:
    return np.reshape(queries, (small.NUM_USERS, small.WINDOW_LENGTH, WIDTH))


def test_the_bias_is_part_of_the_dot_product() -> None:
    model = small.make_model()
    bias = np.full((small.NUM_MOVIES + 1, 1), 2.5)
    model.candidate_tower.bias.assign_add(bias)
    result = model(small.batch())
    assert result.queries.shape == (small.NUM_TARGETS, WIDTH)
    assert result.candidates.shape == (small.NUM_MOVIES, WIDTH)
    np.testing.assert_array_equal(result.queries[:, -1], 1.0)
    np.testing.assert_array_equal(result.candidates[:, -1], 2.5)


@pytest.mark.parametrize("encoder", ["pool", "gru", "attention"])
def test_a_query_never_depends_on_its_own_or_a_later_event(encoder: str) -> None:
    model = small.make_model(
        history_encoder=encoder, event_features=("rating", "gap"), cross_layers=1
    )
    small.perturb(model)
    inputs = small.batch()
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
    model = small.make_model(event_features=("rating", "gap"))
    small.perturb(model)
    inputs = small.batch()
    before = model(inputs).queries
    other = tf.cast(tf.fill(inputs[name].shape, values), inputs[name].dtype)
    after = model({**inputs, name: other}).queries
    assert np.abs(before - after).max() > 1e-3


def test_time_alone_moves_the_query_to_another_bucket() -> None:
    model = small.make_model()
    inputs = small.batch()
    early, late = (
        by_window(
            model({**inputs, "timestamps": inputs["timestamps"] * 0 + time}).queries
        )
        for time in (0, 100)
    )
    dim = small.MODEL.embedding_dim
    np.testing.assert_array_equal(early[:, :, :dim], late[:, :, :dim])
    assert (early[:, 1:, dim:-1] != late[:, 1:, dim:-1]).all()
    # Before the first event there is no time.
    np.testing.assert_array_equal(early[:, 0], late[:, 0])


def test_context_and_padding_are_no_targets() -> None:
    model = small.make_model()
    inputs = small.batch()
    is_target = np.zeros((small.NUM_USERS, small.WINDOW_LENGTH), bool)
    is_target[0, 2] = is_target[3, 7] = True
    result = model({**inputs, "is_target": tf.constant(is_target)})
    movies = inputs["movies"].numpy()
    np.testing.assert_array_equal(result.targets, [movies[0, 2], movies[3, 7]])
    assert result.queries.shape[0] == 2


@pytest.mark.parametrize("loss", ["sampled_softmax", "in_batch_softmax"])
def test_a_loss_without_the_whole_corpus_sees_the_same_embeddings(loss: str) -> None:
    full, part = (
        small.make_model()(small.batch()),
        small.make_model(loss)(small.batch()),
    )
    corpus = np.asarray(full.candidates)
    np.testing.assert_allclose(part.queries, full.queries, atol=1e-6)
    np.testing.assert_allclose(part.positives, full.positives, atol=1e-6)
    expected = corpus[part.candidate_ids.numpy()]
    np.testing.assert_allclose(part.candidates, expected, atol=1e-6)


def test_only_the_named_features_count() -> None:
    model = small.make_model(
        history_encoder="none",
        movie_features=("id",),
        user_attributes=False,
        time_dim=0,
        hidden_units=0,
        item_bias=False,
    )
    result = model(small.batch())
    user = np.asarray(model.query_tower.user)[small.batch()["user_index"]]
    np.testing.assert_allclose(
        np.reshape(result.queries, (small.NUM_USERS, small.WINDOW_LENGTH, 9))[:, 3, :8],
        user,
        atol=1e-6,
    )
    movies = np.asarray(model.candidate_tower.movie)[:-1]
    np.testing.assert_allclose(result.candidates[:, :8], movies)
    trainable = {variable.path for variable in model.trainable_variables}
    assert not any("bias" in path for path in trainable)


def test_a_first_step_calls_the_towers_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras would call a model that is not built twice, first to find its shapes."""
    calls = []
    call = CandidateTower.call

    def counted(self: CandidateTower, *args: Any, **options: Any) -> tf.Tensor:
        calls.append(1)
        return call(self, *args, **options)

    monkeypatch.setattr(CandidateTower, "call", counted)
    small.make_model()(small.batch(), training=True)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("hidden_units", "num_events", "expected"),
    [("auto", 499_999, 64), ("auto", 500_000, 256), (32, 500_000, 32)],
)
def test_more_events_have_a_wider_hidden_layer(
    hidden_units: str | int, num_events: int, expected: int
) -> None:
    context = small.context(hidden_units=hidden_units)._replace(num_events=num_events)
    correction = QueryTower(context).weights[-2]  # from the hidden layer to the query
    assert correction.shape == (expected, context.embedding_dim)


def test_auxiliary_losses_are_added_by_their_weight() -> None:
    inputs = small.batch()

    def loss(*weights: float) -> float:
        model = small.make_model(weights=weights, dropout=0.0, user_dropout=0.0)
        return float(model.total_loss(model(inputs, training=True)))

    plain = loss(0, 0)
    rating, doubled = loss(1, 0) - plain, loss(2, 0) - plain
    assert rating > 0.1
    assert doubled == pytest.approx(2 * rating, rel=1e-4)
    assert loss(0, 1) - plain > 0.1


class GenreBlindTower(CandidateTower):
    """A custom tower."""

    def features(self, indices: tf.Tensor, ids: tf.Tensor) -> list[tf.Tensor]:
        return super().features(indices, ids)[:1]


def test_a_custom_tower_is_found_by_its_dotted_path() -> None:
    model = small.make_model(candidate_tower=f"{__name__}.GenreBlindTower")
    assert isinstance(model.candidate_tower, GenreBlindTower)
    small.perturb(model)
    assert model(small.batch()).candidates.shape == (small.NUM_MOVIES, WIDTH)
    with pytest.raises(
        UserError, match=r"model.history_encoder is 'lstm', .*attention"
    ):
        small.make_model(history_encoder="lstm")
