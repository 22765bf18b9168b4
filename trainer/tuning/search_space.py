"""`tune.space` as KerasTuner's hyperparameters, and the oracles that search it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import keras_tuner
from keras_tuner.oracles import (
    BayesianOptimizationOracle,
    HyperbandOracle,
    RandomSearchOracle,
)

from trainer.config import TrainerConfig
from trainer.tuning.config import Dimension, TunerConfig
from trainer.tuning.hyperparameters import to_keras_tuner
from trainer.validation import MONITORED

_ORACLES: Final = {
    "random": RandomSearchOracle,
    "bayesian": BayesianOptimizationOracle,
    "hyperband": HyperbandOracle,
}


def hyperparameters(space: Mapping[str, Dimension]) -> keras_tuner.HyperParameters:
    """Declares the search space.

    Args:
      space: Configuration key to its allowed values.
    """
    declared = keras_tuner.HyperParameters()
    for key, dimension in space.items():
        if dimension.values:
            declared.Choice(key, to_keras_tuner(dimension.values))
            continue
        sampling = "log" if dimension.log else "linear"
        # `TuneConfig` has checked that both bounds of an integer key are integers.
        kind = declared.Int if isinstance(dimension.min, int) else declared.Float
        kind(key, dimension.min, dimension.max, sampling=sampling)
    return declared


def configured_point(
    space: Mapping[str, Dimension], config: TrainerConfig
) -> dict[str, Any] | None:
    """Finds the point of the search space that the configuration itself is.

    Args:
      space: Configuration key to its allowed values.
      config: The configuration.

    Returns:
      Hyperparameter to value; None if a value is outside the space.
    """
    point = {}
    for key, dimension in space.items():
        section, _, name = key.partition(".")
        value = getattr(getattr(config, section), name)
        if isinstance(value, tuple):  # in the space it is a list, as in JSON
            value = list(value)
        if dimension.values:
            if value not in dimension.values:
                return None
            index = dimension.values.index(value)
            point[key] = to_keras_tuner(dimension.values)[index]
        elif isinstance(value, str | None):  # "auto" is in no range
            return None
        elif not dimension.min <= value <= dimension.max:
            return None
        else:
            point[key] = value
    return point


def make_oracle(config: TunerConfig) -> keras_tuner.Oracle:
    """Makes the oracle that `tune.algorithm` names: it chooses each trial's values."""
    tune, trainer = config.tune, config.trainer
    options: dict[str, Any] = {
        "objective": keras_tuner.Objective(MONITORED, direction="max"),
        "hyperparameters": hyperparameters(tune.space),
        "tune_new_entries": False,
        "seed": trainer.train.seed,
        # One that diverges says nothing about the others, and `trainer.tuning.tuner`
        # has the better message if all of them fail.
        "max_consecutive_failed_trials": tune.trials + 1,
    }
    if tune.algorithm == "hyperband":
        options["max_epochs"] = tune.epochs or trainer.train.epochs
    first = configured_point(tune.space, trainer)
    oracle = _starting_with(first, _ORACLES[tune.algorithm])(**options)
    oracle.max_trials = tune.trials  # Hyperband's constructor has no such argument
    return oracle


def _starting_with(first: dict[str, Any] | None, oracle: Any) -> Any:
    """Makes an oracle class whose first trial is fixed, to compare the others with it.

    Args:
      first: The values of that trial; None for one that the oracle draws.
      oracle: A class of KerasTuner.
    """

    class Oracle(oracle):
        def _random_values(self) -> Any:
            """Overrides the draw that all of KerasTuner's oracles start with."""
            if first is not None and not self.trials:
                return dict(first)
            return super()._random_values()

    return Oracle
