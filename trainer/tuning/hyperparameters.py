"""What a search found, between KerasTuner's hyperparameters and the configuration.

A hyperparameter is named by its key, such as `train.learning_rate`. KerasTuner chooses
among numbers, texts or booleans of one type; what is no such value (a list, null,
values of several types) is written to it as JSON. This module imports nothing heavy:
the command line, the Trainer and the Tuner all use it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

BEST_FILE: Final = "best_hyperparameters.txt"  # of TFX's Tuner
SEARCH_FILE: Final = "search.json"  # of `components.tuner`
# Bookkeeping of KerasTuner's Hyperband.
_INTERNAL: Final = "tuner/"
_SCALARS: Final = (bool, int, float, str)


def encoded(values: Sequence[Any]) -> list[Any]:
    """Writes the values of a choice as ones that KerasTuner takes."""
    types = {type(value) for value in values}
    if types == {int, float}:
        return [float(value) for value in values]
    if len(types) == 1 and types.issubset(_SCALARS):
        return list(values)
    return [json.dumps(value) for value in values]


def decoded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Reads back the values of one trial, without what KerasTuner notes beside them.

    Args:
      values: Hyperparameter -> value, as in `HyperParameters.values`.
    """
    return {
        key: _decoded(value)
        for key, value in values.items()
        if not key.startswith(_INTERNAL)
    }


def _decoded(value: Any) -> Any:
    if isinstance(value, str):
        with contextlib.suppress(ValueError):  # a text that stands for itself
            return json.loads(value)
    return value


def merged(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Puts what was found in place of what was configured.

    Args:
      config: Section -> key -> value.
      values: `section.key` -> value.

    Returns:
      A new configuration; `config` is not changed.
    """
    result = dict(config)
    for section, fields in nested(values).items():
        result[section] = {**result.get(section, {}), **fields}
    return result


def nested(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Turns `section.key` -> value into section -> key -> value."""
    result: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        result.setdefault(section, {})[key] = value
    return result


def told(values: Mapping[str, Any]) -> str:
    """The values in one line, for people."""
    return ", ".join(f"{key} {short(value)}" for key, value in values.items())


def short(value: Any) -> str:
    """A value with four digits that count, lists without spaces."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"))
