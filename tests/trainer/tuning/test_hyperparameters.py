from __future__ import annotations

from typing import Any

import pytest

from trainer.tuning.hyperparameters import decoded, encoded, merged, nested, told


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([1, 2], [1, 2]),
        ([1, 2.5], [1.0, 2.5]),
        (["cosine", "constant"], ["cosine", "constant"]),
        ([True, False], [True, False]),
        ([None, 3], ["null", "3"]),
        ([[0.8], [0.5, 0.8]], ["[0.8]", "[0.5, 0.8]"]),
        ([True, 1], ["true", "1"]),
    ],
)
def test_values_are_written_for_kerastuner_and_read_back(
    values: list[Any], written: list[Any]
) -> None:
    assert encoded(values) == written
    assert len({type(value) for value in encoded(values)}) == 1
    assert [decoded({"key": value})["key"] for value in written] == values


def test_kerastuners_own_notes_are_left_out() -> None:
    assert decoded({"train.loss": "auto", "tuner/epochs": 3}) == {"train.loss": "auto"}


def test_what_was_found_takes_the_place_of_what_was_configured() -> None:
    config = {"train": {"epochs": 3, "loss": "auto"}, "data": {"dataset": "mine"}}
    found = {"train.epochs": 5, "model.dropout": 0.5}
    assert merged(config, found) == {
        "train": {"epochs": 5, "loss": "auto"},
        "model": {"dropout": 0.5},
        "data": {"dataset": "mine"},
    }
    assert config["train"]["epochs"] == 3
    assert merged(config, {}) == config
    assert nested(found) == {"train": {"epochs": 5}, "model": {"dropout": 0.5}}


def test_values_are_told_shortly() -> None:
    values = {"train.learning_rate": 0.0123456, "model.recency_decays": [0.5, 0.8]}
    told_values = told({**values, "train.loss": "auto", "train.patience": None})
    assert told_values == (
        "train.learning_rate 0.01235, model.recency_decays [0.5,0.8], "
        "train.loss auto, train.patience null"
    )
