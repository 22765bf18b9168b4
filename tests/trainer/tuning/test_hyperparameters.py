from __future__ import annotations

from typing import Any

import pytest

from trainer.tuning.hyperparameters import (
    by_section,
    format_values,
    from_keras_tuner,
    override,
    to_keras_tuner,
)


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
def test_values_are_converted_for_kerastuner_and_back(
    values: list[Any], written: list[Any]
) -> None:
    assert to_keras_tuner(values) == written
    assert len({type(value) for value in to_keras_tuner(values)}) == 1
    assert [from_keras_tuner({"key": value})["key"] for value in written] == values


def test_kerastuners_bookkeeping_is_left_out() -> None:
    values = {"train.loss": "auto", "tuner/epochs": 3}
    assert from_keras_tuner(values) == {"train.loss": "auto"}


def test_found_values_replace_configured_ones() -> None:
    config = {"train": {"epochs": 3, "loss": "auto"}, "data": {"dataset": "mine"}}
    found = {"train.epochs": 5, "model.dropout": 0.5}
    assert override(config, found) == {
        "train": {"epochs": 5, "loss": "auto"},
        "model": {"dropout": 0.5},
        "data": {"dataset": "mine"},
    }
    assert config["train"]["epochs"] == 3
    assert override(config, {}) == config
    assert by_section(found) == {"train": {"epochs": 5}, "model": {"dropout": 0.5}}


def test_values_are_formatted_as_one_short_line() -> None:
    values = {"train.learning_rate": 0.0123456, "model.recency_decays": [0.5, 0.8]}
    text = format_values({**values, "train.loss": "auto", "train.patience": None})
    assert text == (
        "train.learning_rate 0.01235, model.recency_decays [0.5,0.8], "
        "train.loss auto, train.patience null"
    )
