"""Reads YAML files as configuration layers that record where each key is written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trainer.errors import UsageError

KeyPath = tuple[str, ...]


class _Loader(yaml.SafeLoader):
    """`yaml.SafeLoader` which reads `3e-3` as a number, as YAML 1.2 and JSON do."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


@dataclass(frozen=True)
class Layer:
    """Values of one source, and where each key was written.

    Attributes:
      values: Nested mapping as in `PipelineConfig`.
      origins: Key path -> "file.yaml, line 3" or "--set a.b=c".
    """

    values: dict[str, Any]
    origins: dict[KeyPath, str] = field(default_factory=dict)


def read_layer(path: Path) -> Layer:
    """Reads one YAML file.

    Raises:
      UsageError: The file is absent or not a YAML mapping, has a key twice or has a
        number that is not finite.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(
            f"The configuration file {path} cannot be read: {reason}",
            "Give --config the path of a YAML file.",
        ) from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        values = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise UsageError(
            f"{path} is not valid YAML: {_reason(error)}", "Fix the YAML syntax."
        ) from error
    if values is None:
        return Layer({})
    if not isinstance(node, yaml.MappingNode):
        found = "a list" if isinstance(values, list) else "a single value"
        raise UsageError(
            f"{path} has {found} at its top level, not sections with keys",
            "`two-tower config` prints an example.",
        )
    return Layer(values, _origins(node, path))


def parse_assignment(assignment: str) -> tuple[KeyPath, Any]:
    """Splits `key.path=value`; the value is YAML.

    Raises:
      UsageError: There is no `=`, a part of the key is empty or the value is not YAML.
    """
    key, equals, text = assignment.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path):
        raise UsageError(
            f"--set {assignment!r} is not of the form key.path=value",
            "Write for example --set model.embedding_dim=64.",
        )
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise UsageError(
            f"--set {assignment!r}: the value is not valid YAML: {_reason(error)}",
            "Quote it, or write for example --set 'eval.top_k=[1, 10]'.",
        ) from error
    _check_finite(value, f"--set {assignment!r}")
    return path, value


def _origins(root: yaml.MappingNode, path: Path) -> dict[KeyPath, str]:
    """Where each key is written; rejects duplicates, which PyYAML would accept."""
    origins: dict[KeyPath, str] = {}
    for keys, key_node, value_node in _walk(root, ()):
        where = f"{path}, line {key_node.start_mark.line + 1}"
        if keys in origins:
            raise UsageError(
                f"{'.'.join(keys)} is given twice ({origins[keys]} and {where})",
                "Delete one of the two.",
            )
        origins[keys] = where
        if isinstance(value_node, yaml.ScalarNode):
            loader = _Loader("")
            _check_finite(
                loader.construct_object(value_node), f"{'.'.join(keys)} ({where})"
            )
    return origins


def _walk(
    node: yaml.MappingNode, prefix: KeyPath
) -> Iterator[tuple[KeyPath, yaml.Node, yaml.Node]]:
    for key_node, value_node in node.value:
        keys = (*prefix, str(key_node.value))
        yield keys, key_node, value_node
        if isinstance(value_node, yaml.MappingNode):
            yield from _walk(value_node, keys)


def _check_finite(value: Any, name: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{name} is {value}", "Give a finite number.")


def _reason(error: yaml.YAMLError) -> str:
    """The problem and its line, without PyYAML's excerpt of four lines."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return f"{problem} in line {mark.line + 1}" if mark else problem
