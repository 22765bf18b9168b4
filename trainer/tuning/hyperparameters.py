"""Hyperparameter values between KerasTuner, the configuration and its readers.

A hyperparameter is named by its configuration key, such as `train.learning_rate`.
KerasTuner chooses among numbers, strings or booleans of one type; any other value (a
list, null, values of mixed types) is passed to it as a JSON string. This module imports
nothing heavy, so that the command line can use it too.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

# Custom property of the artifact `best_hyperparameters`, written by `components.tuner`:
# the best values by section, as JSON.
BEST_VALUES_PROPERTY: Final = "summary"
# In the artifact `tuner_results`, by `components.tuner`: the best values by key under
# `best`, and each trial's `trainer.tuning.tuner.Outcome` under `trials`, best first.
SEARCH_FILE: Final = "search.json"
# Prefix of the values that KerasTuner's Hyperband adds for its own bookkeeping.
_INTERNAL: Final = "tuner/"
_SCALARS: Final = (bool, int, float, str)


def to_keras_tuner(values: Sequence[Any]) -> list[Any]:
    """Converts the values of a choice to values that KerasTuner accepts."""
    types = {type(value) for value in values}
    if types == {int, float}:
        return [float(value) for value in values]
    if len(types) == 1 and types.issubset(_SCALARS):
        return list(values)
    return [json.dumps(value) for value in values]


def from_keras_tuner(values: Mapping[str, Any]) -> dict[str, Any]:
    """Converts a trial's values back, without KerasTuner's own bookkeeping.

    Args:
      values: Hyperparameter to value, as in `HyperParameters.values`.
    """
    return {
        key: _parse(value)
        for key, value in values.items()
        if not key.startswith(_INTERNAL)
    }


def _parse(value: Any) -> Any:
    if isinstance(value, str):
        with contextlib.suppress(ValueError):  # a plain string, not JSON
            return json.loads(value)
    return value


def override(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces values of a configuration that is given as JSON.

    Args:
      config: Section to key to value.
      values: `section.key` to value.

    Returns:
      A new configuration; `config` is not changed.
    """
    result = dict(config)
    for section, fields in by_section(values).items():
        result[section] = {**result.get(section, {}), **fields}
    return result


def by_section(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Turns `{"section.key": value}` into `{"section": {"key": value}}`."""
    result: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        result.setdefault(section, {})[key] = value
    return result


def format_values(values: Mapping[str, Any]) -> str:
    """Formats keys and values as one line of text."""
    return ", ".join(f"{key} {format_value(value)}" for key, value in values.items())


def format_value(value: Any) -> str:
    """Formats a value: floats with four significant digits, lists without spaces."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"))
