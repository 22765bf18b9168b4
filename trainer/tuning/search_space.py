"""`tune.space` as KerasTuner's hyperparameters, and KerasTuner's ways to search it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import keras_tuner
from keras_tuner.oracles import (
    BayesianOptimizationOracle,
    HyperbandOracle,
    RandomSearchOracle,
)

from trainer.tuning.hyperparameters import encoded
from trainer.validation import MONITORED


def hyperparameters(space: Mapping[str, Any]) -> keras_tuner.HyperParameters:
    """Declares the space.

    Args:
      space: Key -> the fields of a `trainer.tuning.config.Dimension`.
    """
    declared = keras_tuner.HyperParameters()
    for key, dimension in space.items():
        if dimension["values"]:
            declared.Choice(key, encoded(dimension["values"]))
            continue
        low, high = dimension["min"], dimension["max"]
        sampling = "log" if dimension["log"] else "linear"
        # Of an integer key, both bounds were checked to be integers.
        kind = declared.Int if isinstance(low, int) else declared.Float
        kind(key, low, high, sampling=sampling)
    return declared


def configured(
    space: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The configuration's own values as a point of the space.

    Args:
      space: See `hyperparameters`.
      config: See `trainer.training.run_fn`.

    Returns:
      Hyperparameter -> value; None where one of them lies outside.
    """
    found = {}
    for key, dimension in space.items():
        section, _, name = key.partition(".")
        value = config[section][name]
        if dimension["values"]:
            if value not in dimension["values"]:
                return None
            index = dimension["values"].index(value)
            found[key] = encoded(dimension["values"])[index]
        elif value is None or not dimension["min"] <= value <= dimension["max"]:
            return None
        else:
            found[key] = value
    return found


def oracle(tune: Mapping[str, Any], config: Mapping[str, Any]) -> keras_tuner.Oracle:
    """Makes what draws the trials.

    Args:
      tune: The fields of a `trainer.tuning.config.TuneConfig`.
      config: See `trainer.training.run_fn`.
    """
    options: dict[str, Any] = {
        "objective": keras_tuner.Objective(MONITORED, direction="max"),
        "hyperparameters": hyperparameters(tune["space"]),
        "tune_new_entries": False,
        "seed": config["train"]["seed"],
        # One that diverges tells nothing of the others, and `trainer.tuning.tuner` says
        # more than KerasTuner where all do.
        "max_consecutive_failed_trials": tune["trials"] + 1,
    }
    if tune["algorithm"] == "hyperband":
        options["max_epochs"] = tune["epochs"] or config["train"]["epochs"]
    made = _ORACLES[tune["algorithm"]](configured(tune["space"], config), **options)
    made.max_trials = tune["trials"]  # Hyperband's own constructor knows no limit
    return made


class _BeginsAsConfigured(keras_tuner.Oracle):
    """Draws the configuration as it is first, for all else to be compared with.

    Args:
      first: Its values; None where the space does not hold them.
      **options: Of KerasTuner's oracle.
    """

    def __init__(self, first: dict[str, Any] | None, **options: Any) -> None:
        """See the class docstring."""
        super().__init__(**options)
        self._first = first

    def _random_values(self) -> dict[str, Any] | None:
        """What all of KerasTuner's oracles begin with."""
        if self._first is not None and not self.trials:
            return dict(self._first)
        values: dict[str, Any] | None = super()._random_values()
        return values


class _Random(_BeginsAsConfigured, RandomSearchOracle):
    """Independent draws."""


class _Bayesian(_BeginsAsConfigured, BayesianOptimizationOracle):
    """Draws where a Gaussian process expects or does not know much."""


class _Hyperband(_BeginsAsConfigured, HyperbandOracle):
    """Many short trials, of which the best are repeated longer."""


_ORACLES: Final = {
    "random": _Random,
    "bayesian": _Bayesian,
    "hyperband": _Hyperband,
}
