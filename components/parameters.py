"""Configuration objects as execution parameters, which TFX stores as strings."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import TypeAdapter

_Config = TypeVar("_Config")


def to_parameter(kind: type[_Config], config: _Config) -> str:
    """Returns the fields that `kind` has, as JSON.

    Mappings keep their order, in which the Evaluator reports thresholds.

    Args:
      kind: Class of the configuration, a pydantic dataclass.
      config: An object of this class or of one derived from it.
    """
    content = TypeAdapter(kind).dump_python(config, mode="json")
    return json.dumps(content)


def from_parameter(kind: type[_Config], text: str) -> _Config:
    """Returns the configuration that `to_parameter` wrote.

    Raises:
      pydantic.ValidationError: The text does not fit the class.
    """
    return TypeAdapter(kind).validate_json(text)
