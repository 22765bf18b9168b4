"""Reads YAML files as configuration layers that record where each key is written."""

from __future__ import annotations

import errno
import math
import os
import re
import select
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from trainer.errors import UsageError

KeyPath = tuple[str, ...]
_Where = Callable[[yaml.Mark], str]

# A whole configuration has 4,000 bytes, 150 values and 4 levels.
_MAX_BYTES: Final = 100_000
_MAX_NODES: Final = 10_000
_MAX_DEPTH: Final = 20
_PIPE_SECONDS: Final = 10.0
_PREFIX: Final = "tag:yaml.org,2002:"
_FLOAT: Final = f"{_PREFIX}float"
_MERGE: Final = f"{_PREFIX}merge"
_TAGS: Final = {
    _PREFIX + name for name in ("str", "int", "float", "bool", "null", "map", "seq")
}


class _Loader(yaml.SafeLoader):
    """`yaml.SafeLoader` which reads `3e-3` as a number, as YAML 1.2 and JSON do.

    A date is text.
    """

    yaml_implicit_resolvers = {
        first: [item for item in found if item[0] != f"{_PREFIX}timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    _FLOAT,
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
      UsageError: The file cannot be read or is not a YAML mapping; see `_parse`.
    """
    node, values, origins = _parse(
        _read(path),
        str(path),
        "Fix the YAML syntax.",
        lambda mark: f"{path}, line {mark.line + 1}",
    )
    if values is None:
        return Layer({})
    if not isinstance(node, yaml.MappingNode):
        found = "a list" if isinstance(values, list) else "a single value"
        raise UsageError(
            f"{path} has {found} at its top level, not sections with keys",
            "`two-tower config` prints an example.",
        )
    return Layer(values, origins)


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
    example = "Quote it, or write for example --set 'eval.top_k=[1, 10]'."
    name = f"--set {assignment!r}"
    _, value, _ = _parse(text, f"{name}: the value", example, lambda _: name, path)
    return path, value


def _read(path: Path) -> str:
    """Reads a file or a pipe, as in `--config <(...)`.

    Raises:
      UsageError: It cannot be read, is too large or not UTF-8.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            os.set_blocking(file.fileno(), True)
            is_pipe = stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
            if is_pipe and not select.select([file], [], [], _PIPE_SECONDS)[0]:
                raise TimeoutError(errno.ETIMEDOUT, "nobody writes to this pipe")
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {_MAX_BYTES:,} bytes")
        return content.decode("utf-8")
    except (OSError, ValueError) as error:  # ValueError: a null character in its name
        is_text = not isinstance(error, UnicodeDecodeError)
        reason = (
            getattr(error, "strerror", str(error)) if is_text else "it is not UTF-8"
        )
        raise UsageError(
            f"The configuration file {path} cannot be read: {reason}",
            "Give --config the path of a YAML file.",
        ) from error


def _open_at_once(path: str, flags: int) -> int:
    """Opens a file without waiting for the other end of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def _parse(
    text: str, name: str, remedy: str, where: _Where, prefix: KeyPath = ()
) -> tuple[yaml.Node | None, Any, dict[KeyPath, str]]:
    """Parses YAML into its root node, its value and where each key is written.

    Args:
      text: One YAML document.
      name: The subject of error messages.
      remedy: What to do about wrong syntax.
      where: Names a place in the text.
      prefix: The key whose value the text is.

    Raises:
      UsageError: It is not YAML, nested or repeated without bounds, has a key twice, a
        number that is not finite or a type that JSON does not have.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, None, {}
        origins = _origins(node, where, prefix)
        return node, loader.construct_document(node), origins
    except yaml.YAMLError as error:
        reason = _reason(error)
    except RecursionError:
        reason = f"it is nested more than {_MAX_DEPTH} levels deep"
    except (ValueError, TypeError, LookupError) as error:  # such as `!!int x`
        reason = f"a value is not of its type: {error}"
    raise UsageError(f"{name} is not valid YAML: {reason}", remedy)


def _origins(root: yaml.Node, where: _Where, prefix: KeyPath) -> dict[KeyPath, str]:
    """Checks all nodes; returns where each key is written.

    Aliases are followed: one that contains itself has no end, and a few that repeat
    each other stand for more nodes than there is memory for.
    """
    origins: dict[KeyPath, str] = {}
    open_nodes: list[tuple[KeyPath, yaml.Node]] = [(prefix, root)]
    visited = 0
    while open_nodes:
        keys, node = open_nodes.pop()
        place = where(node.start_mark)
        visited += 1
        if len(keys) > _MAX_DEPTH or visited > _MAX_NODES:
            raise UsageError(
                f"{place}: an alias contains itself, or there are more than "
                f"{_MAX_DEPTH} levels or {_MAX_NODES:,} values",
                "Write the values out.",
            )
        if node.tag not in _TAGS:
            kind = node.tag.removeprefix(_PREFIX)
            raise UsageError(
                f"{place}: {'.'.join(keys)} has the type {kind}",
                "Write plain text, numbers, true, false, null, lists and mappings.",
            )
        if isinstance(node, yaml.MappingNode):
            children = _children(keys, node, where, origins)
        elif isinstance(node, yaml.SequenceNode):
            children = [((*keys, str(i)), item) for i, item in enumerate(node.value)]
        else:
            _check_finite(node, f"{'.'.join(keys)} ({place})")
            children = []
        open_nodes += reversed(children)
    return origins


def _children(
    keys: KeyPath, node: yaml.MappingNode, where: _Where, origins: dict[KeyPath, str]
) -> list[tuple[KeyPath, yaml.Node]]:
    """The values of a mapping with their keys, whose places are added to `origins`."""
    found: list[tuple[KeyPath, yaml.Node]] = []
    here: dict[KeyPath, str] = {}
    for key_node, value in node.value:
        place = where(key_node.start_mark)
        if key_node.tag == _MERGE:
            found.append((keys, value))
            continue
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in _TAGS:
            raise UsageError(f"{place}: a key is not plain text", "Rename it.")
        path = (*keys, key_node.value)
        if path in here:
            raise UsageError(
                f"{'.'.join(path)} is given twice ({here[path]} and {place})",
                "Delete one of the two.",
            )
        here[path] = place
        found.append((path, value))
    for path, place in here.items():
        origins.setdefault(path, place)
    return found


def _check_finite(node: yaml.Node, name: str) -> None:
    if node.tag != _FLOAT:
        return
    value = _Loader("").construct_object(node)
    if not math.isfinite(value):
        raise UsageError(f"{name} is {value}", "Give a finite number.")


def _reason(error: yaml.YAMLError) -> str:
    """The problem and its line, without PyYAML's excerpt of four lines."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return f"{problem} in line {mark.line + 1}" if mark else problem
