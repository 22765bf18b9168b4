"""A model goes on from an earlier one, whatever became of the vocabularies."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest

from tests.fixtures import small_model as small
from trainer.base_model import (
    LAST_TIMESTAMP,
    MODEL_CONFIG,
    BaseModel,
    ColdStartError,
    Data,
    Start,
)
from trainer.config import to_json
from trainer.losses import LossContext, make_loss
from trainer.model import TwoTowerModel
from trainer.trained_events import TrainedEvents
from trainer.training import train_model
from trainer.warm_start import carry_over, check_settings, weight_names
from trainer.windows import Sampling, window_dataset

MOVIES = [f"m{i}".encode() for i in range(small.NUM_MOVIES)]
USERS = [f"u{i}".encode() for i in range(small.NUM_USERS)]
TITLES = [b"a", b"b", b"c", b"d"]
VOCABULARIES = {
    "user_id": np.array(USERS),
    "movie_id": np.array(MOVIES),
    "title_token": np.array(TITLES),
}


def model_of(seed: int, users: int = small.NUM_USERS, **changes: object):
    keras.utils.set_random_seed(seed)
    context = small.context(**changes)._replace(num_users=users)
    loss = make_loss(LossContext(small.TRAIN, np.full(small.NUM_MOVIES, 4)))
    return TwoTowerModel(context, loss)


def base_of(model: TwoTowerModel, by: int = 1, **config: object) -> BaseModel:
    if by:
        small.perturb(model)
    settings = dataclasses.replace(small.MODEL, **config)
    events = TrainedEvents.of(small.train_columns(), small.corpus())
    return BaseModel(
        info={"dataset": "small", MODEL_CONFIG: to_json(settings), "warm_runs": 3},
        weights=dict(
            zip(weight_names(model), map(np.array, model.variables), strict=True)
        ),
        vocabularies=dict(VOCABULARIES),
        trained_events=np.array(events.variables[0])[:-1],
    )


@pytest.mark.parametrize("encoder", ["pool", "gru", "attention", "none"])
def test_embeddings_follow_their_tokens_and_other_weights_stay(encoder):
    old = model_of(1, history_encoder=encoder)
    base = base_of(old)
    new = model_of(2, small.NUM_USERS + 1, history_encoder=encoder)
    fresh = np.array(new.query_tower.user)
    movies = [*MOVIES[6:], *MOVIES[:6]]
    users = [b"new", *reversed(USERS)]
    found = carry_over(
        new,
        base,
        {
            "user_id": np.array(users),
            "movie_id": np.array(movies),
            "title_token": np.array([b"d", b"x", b"b", b"y"]),
        },
    )
    assert found == {"user_id": (6, 7), "movie_id": (12, 12), "title_token": (2, 4)}
    before, after = np.array(old.query_tower.user), np.array(new.query_tower.user)
    np.testing.assert_array_equal(after[1:-1], before[:-1][::-1])
    np.testing.assert_array_equal(after[0], fresh[0])
    np.testing.assert_array_equal(after[-1], before[-1])
    for table in ("movie", "bias"):
        was = np.array(getattr(old.candidate_tower, table))
        now = np.array(getattr(new.candidate_tower, table))
        np.testing.assert_array_equal(
            now, np.concatenate([was[6:-1], was[:6], was[-1:]])
        )
    title = np.array(new.candidate_tower.title)
    was = np.array(old.candidate_tower.title)
    np.testing.assert_array_equal(title[[0, 2, 4]], was[[3, 1, 4]])
    kinds = new.row_kinds()
    for one, other in zip(
        new.trainable_variables, old.trainable_variables, strict=True
    ):
        if one.path not in kinds:
            np.testing.assert_array_equal(np.array(one), np.array(other))


def test_a_year_that_is_new_gets_a_row_and_the_others_keep_theirs():
    old = model_of(1)
    base = base_of(old)
    new = model_of(2)
    table = base.weights["candidate_tower/year#0"]
    base.weights["candidate_tower/year#0"] = table[:-3]
    fresh = np.array(new.candidate_tower.year)
    carry_over(new, base, VOCABULARIES)
    year = np.array(new.candidate_tower.year)
    np.testing.assert_array_equal(year[:-3], table[:-3])
    np.testing.assert_array_equal(year[-3:], fresh[-3:])


def test_a_model_that_does_not_fit_leaves_all_weights_as_they_were():
    base = base_of(model_of(1, hidden_units=16))
    new = model_of(2)
    before = [np.array(variable) for variable in new.variables]
    with pytest.raises(ColdStartError, match="kernel.* has shape"):
        carry_over(new, base, VOCABULARIES)
    for was, now in zip(before, new.variables, strict=True):
        np.testing.assert_array_equal(was, np.array(now))


def test_what_is_saved_for_the_trainer_is_what_it_loads(tmp_path):
    base = base_of(model_of(1))
    Start("warm", "7", "abc", Data("digest", 9), base).save(str(tmp_path / "base"))
    start = Start.load(str(tmp_path / "base"))
    assert (start.version, start.model_id) == ("7", "abc")
    assert start.data == Data("digest", 9)
    assert start.base is not None
    assert start.base.info == base.info
    assert start.base.warm_runs == 3
    for name, tokens in VOCABULARIES.items():
        assert start.base.vocabularies[name].tolist() == tokens.tolist()
    assert start.base.weights.keys() == base.weights.keys()
    np.testing.assert_array_equal(start.base.trained_events, base.trained_events)
    Start("cold").save(str(tmp_path / "none"))
    assert Start.load(str(tmp_path / "none")) == Start("cold")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"embedding_dim": 16}, "model.embedding_dim is 8, 16 in the live model"),
        ({"history_encoder": "gru"}, "model.history_encoder is pool, gru in"),
        ({"movie_features": ("id",)}, "model.movie_features is"),
    ],
)
def test_another_structure_cannot_be_continued(changed, reason):
    base = base_of(model_of(1), **changed)
    with pytest.raises(ColdStartError, match=reason):
        check_settings(base, small.trainer_config())


def test_another_edition_cannot_be_continued():
    base = base_of(model_of(1))
    base.info["dataset"] = "ml-1m"
    with pytest.raises(ColdStartError, match="dataset is small, ml-1m in the live"):
        check_settings(base, small.trainer_config())


def test_other_rates_of_dropout_can_be_continued():
    check_settings(base_of(model_of(1), dropout=0.7), small.trainer_config())


def config_of(**train: object):
    settings = {"epochs": 5, "warm_epochs": 2, "validation_queries": 6, **train}
    return small.trainer_config(train=small.train_config(**settings))


@pytest.fixture(scope="module")
def data():
    return small.training_data()._replace(vocabularies=VOCABULARIES)


@pytest.fixture(scope="module")
def trained_base(data, tmp_path_factory):
    config = config_of(epochs=25, validation_queries=0)
    model = train_model(data, config, str(tmp_path_factory.mktemp("logs"))).model
    return base_of(model, by=0)


def test_a_warm_fit_goes_on_where_the_base_ended_with_what_is_new(
    data, trained_base, tmp_path
):
    # Each user's events have the times 0 to 7.
    base = trained_base._replace(info=trained_base.info | {LAST_TIMESTAMP: 5})
    start = Start("warm", "7", base=base)
    trained = train_model(data, config_of(), str(tmp_path), start=start)
    assert trained.start == start
    assert trained.carried["movie_id"] == (12, 12)
    report = trained.report
    # A model that has learned nothing has a loss of log(12) = 2.5.
    assert (len(report.loss), report.loss[0] < 2) == (2, True)
    assert (report.num_targets, report.num_queries) == (2 * small.NUM_USERS, 0)


def test_windows_without_a_new_rating_are_drawn_for_each_epoch():
    windows = small.windows()
    always = np.arange(small.NUM_USERS) < 2
    sampling = Sampling(always, 0.5)
    assert (sampling.num_drawn, sampling.num_windows) == (2, 4)

    def drawn(epochs: range) -> list[list[int]]:
        with window_dataset(windows, 4, 1, epochs, sampling) as batches:
            return [batch["user_index"].numpy().tolist() for batch in batches]

    users = drawn(range(12))
    assert all({0, 1} < set(epoch) and len(set(epoch)) == 4 for epoch in users)
    assert set().union(*users) == set(range(small.NUM_USERS))
    # A fit that resumes at epoch 5 sees what it would have seen.
    assert drawn(range(5, 12)) == users[5:]


def test_a_model_that_does_not_fit_is_left_unless_it_must_be_continued(
    data, trained_base, tmp_path
):
    base = trained_base._replace(info=trained_base.info | {"dataset": "ml-1m"})
    start = Start("warm", "7", base=base)
    config = config_of(warm_start="always")
    with pytest.raises(ColdStartError, match="in the live model"):
        train_model(data, config, str(tmp_path), start=start)
    trained = train_model(data, config_of(), str(tmp_path), start=start)
    assert trained.start.reason.startswith("cold start: dataset is")
    assert (trained.start.base, trained.start.version) == (None, "")
    assert (len(trained.report.loss), trained.carried) == (5, {})


def test_events_of_the_base_stay_known():
    before = TrainedEvents.of(small.train_columns(), small.corpus())
    fingerprints = np.array(before.variables[0])[:-1]
    fewer = {k: v for k, v in small.train_columns().items()}
    only = TrainedEvents.of(fewer, small.corpus(), np.array([5, 7]))
    kept = np.array(only.variables[0])
    assert {5, 7} <= set(kept.tolist())
    assert set(fingerprints.tolist()) <= set(kept.tolist())
