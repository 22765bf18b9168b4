from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pipeline.config import ModelConfig, PipelineConfig, TrainConfig
from pipeline.config.loading import load
from trainer.errors import UsageError


def space(text: str) -> PipelineConfig:
    return load((), [f"tune.space={text}"])


def test_tuning_is_off_and_its_space_has_the_defaults() -> None:
    config = PipelineConfig()
    assert not config.tune.enabled
    defaults: dict[str, Any] = {
        "model": dataclasses.asdict(ModelConfig()),
        "train": dataclasses.asdict(TrainConfig()),
    }
    for key, dimension in config.tune.space.items():
        section, _, name = key.partition(".")
        value = defaults[section][name]
        if dimension.values:
            assert value in [
                tuple(v) if isinstance(v, list) else v for v in dimension.values
            ]
        else:
            assert dimension.min is not None and dimension.max is not None
            assert dimension.min <= value <= dimension.max


def test_a_space_is_read_as_it_is_written() -> None:
    config = space(
        "{train.learning_rate: {min: 1e-4, max: 1, log: true}, "
        "train.patience: {values: [null, 2]}, "
        "train.loss: {values: [full_softmax, mine.losses.Own]}, "
        "model.movie_features: {values: [[id], [id, genres]]}}"
    )
    rate = config.tune.space["train.learning_rate"]
    assert (rate.min, rate.max, rate.log) == (1e-4, 1, True)
    assert config.tune.space["train.patience"].values == (None, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{train.learning_rat: {min: 0.1, max: 0.2}}",
            "Did you mean train.learning_ra",
        ),
        ("{eval.top_k: {values: [[10]]}}", "there is no key 'eval.top_k'"),
        ("{train: {values: [1]}}", "there is no key 'train'"),
        (
            "{train.learning_rate: {min: 0.2, max: 0.1}}",
            "min 0.2, which is not below m",
        ),
        ("{train.learning_rate: {min: 0.1}}", "only one of min and max"),
        ("{train.learning_rate: {log: true}}", "either values or min and max"),
        ("{train.dropout: 3}", "tune.space.train.dropout is 3"),
        (
            "{model.dropout: {min: 0, max: 0.5, log: true}}",
            "log needs a min above 0",
        ),
        (
            "{model.dropout: {min: 0, max: 1.5}}",
            "1.5 under max, but it must be less th",
        ),
        (
            "{train.batch_size: {min: 1.5, max: 4}}",
            "1.5 under min, but it must be a va",
        ),
        (
            "{train.batch_size: {values: [16, many]}}",
            '"many" under values, but it must',
        ),
        (
            "{model.hidden_units: {values: [-1]}}",
            "it must be 'auto' or must be greater than or equal to 0",
        ),
        ("{train.batch_size: {values: [16, 16]}}", "has a value twice"),
        ("{train.batch_size: {values: [1], max: 2}}", "either values or min and max"),
        (
            "{train.batch_size: {values: [1], log: true}}",
            "has log: true without min and max",
        ),
        (
            "{model.item_bias: {min: 0, max: 1}}",
            "0 under min, but it must be a valid b",
        ),
        (
            "{model.recency_decays: {values: [[0.5, 2]]}}",
            "[0.5, 2] under values, but i",
        ),
        ("{model.title_tokens: {values: [10]}}", "Transform has made that vocabulary"),
        ("{train.validation_queries: {values: [10]}}", "compared on the same queries"),
        ("{train.target_weight: {values: [liked]}}", "compared by different measures"),
        ("{train.learning_rate: {low: 1}}", "no key 'tune.space.train.learning_rate.l"),
        ("{}", "tune.space: it is empty"),
    ],
)
def test_what_a_trial_cannot_use_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        space(text)
    assert message in str(error.value)
    assert "--set tune.space=" in str(error.value)
    assert error.value.remedy


@pytest.mark.parametrize("other", ["tune.epochs=3", "tune.algorithm=hyperband"])
def test_epochs_are_set_in_one_place_only(other: str) -> None:
    epochs = "tune.space={train.epochs: {min: 3, max: 9}}"
    assert load((), [epochs]).tune.epochs is None
    with pytest.raises(UsageError, match=r"train\.epochs, which tune\.\w+ .*also sets"):
        load((), [epochs, other])


def test_a_search_needs_a_validation_slice() -> None:
    assert load((), ["tune.enabled=true"]).tune.enabled
    with pytest.raises(UsageError, match=r"train\.validation_queries is 0"):
        load((), ["tune.enabled=true", "train.validation_queries=0"])
