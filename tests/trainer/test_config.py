"""The configuration that crosses into the Trainer and the Tuner."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from pydantic import ValidationError

from components.servability_check.config import ServingConfig
from tests.fixtures import small_model as small
from trainer.config import IndexConfig, TrainerConfig, from_json, to_json
from trainer.tuning.config import TuneConfig, TunerConfig


@pytest.mark.parametrize(
    "config",
    [
        small.trainer_config(),
        TunerConfig(trainer=small.trainer_config(), tune=TuneConfig(enabled=True)),
    ],
)
def test_a_configuration_survives_json(config: TrainerConfig | TunerConfig) -> None:
    content = json.loads(json.dumps(to_json(config)))
    again = from_json(type(config), content)
    assert to_json(again) == content
    if isinstance(config, TrainerConfig):
        assert again == config


@pytest.mark.parametrize("setting", [{"index_int8": True}, {"index_leaves": 9}])
def test_a_setting_of_ivf_without_effect_is_refused(setting: dict[str, Any]) -> None:
    assert IndexConfig(**setting)
    for kind in (IndexConfig, ServingConfig):
        with pytest.raises(ValidationError, match=f"{next(iter(setting))} is set, but"):
            kind(index="brute_force", **setting)


def test_json_with_an_unknown_key_is_refused() -> None:
    content = {**to_json(small.trainer_config()), "epochs": 3}
    with pytest.raises(ValidationError, match="epochs"):
        from_json(TrainerConfig, content)


def test_tuned_values_replace_their_keys_and_no_others() -> None:
    config = small.trainer_config()
    tuned = config.with_values({"train.epochs": 3, "model.recency_decays": [0.5]})
    assert tuned.model == dataclasses.replace(config.model, recency_decays=(0.5,))
    assert tuned.train == dataclasses.replace(config.train, epochs=3)
    assert dataclasses.replace(tuned, model=config.model, train=config.train) == config
    assert config.with_values({}) == config


def test_tuned_values_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValidationError, match="embedding_dim is 7, which encoder_he"):
        small.trainer_config().with_values({"model.embedding_dim": 7})
