"""The search space as KerasTuner's hyperparameters."""

from __future__ import annotations

from tests.fixtures import small_model as small
from trainer.tuning.config import Dimension
from trainer.tuning.search_space import configured_point, hyperparameters


def test_a_space_becomes_hyperparameters() -> None:
    space = {
        "train.batch_size": Dimension(min=8, max=64, log=True),
        "model.dropout": Dimension(min=0.0, max=0.5),
        "train.patience": Dimension(values=(None, 3)),
    }
    declared = hyperparameters(space)
    kinds = {hp.name: type(hp).__name__ for hp in declared.space}
    assert kinds == {
        "train.batch_size": "Int",
        "model.dropout": "Float",
        "train.patience": "Choice",
    }
    assert declared.space[0].sampling == "log"


def test_the_configuration_is_a_trial_unless_it_is_outside_the_space() -> None:
    config = small.trainer_config(train=small.train_config(batch_size=4, patience=None))
    inside = {"train.batch_size": Dimension(min=4, max=8)}
    outside = {"train.batch_size": Dimension(min=5, max=8)}
    null = {"train.patience": Dimension(values=(None, 3))}
    decays = {"model.recency_decays": Dimension(values=([0.5, 0.8], [0.9]))}
    assert configured_point({**inside, **null, **decays}, config) == {
        "train.batch_size": 4,
        "train.patience": "null",
        "model.recency_decays": "[0.5, 0.8]",
    }
    assert configured_point(outside, config) is None
    assert config.model.hidden_units == "auto"
    widths = {"model.hidden_units": Dimension(min=32, max=256)}
    assert configured_point(widths, config) is None
