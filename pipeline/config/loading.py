"""YAML layers and `--set key=value` -> `PipelineConfig`.

Later layers win, key by key:

1. the defaults in `pipeline.config`;
2. the packaged preset of the dataset, `pipeline/config/presets/<dataset>.yaml`, if any;
3. user files, in the order given, or other packaged presets by their name;
4. `--set` assignments, in the order given.

A mapping such as `eval.floors` is one value: a file that names it replaces it whole.
`--set eval.floors.ndcg@10=0.05` changes one of its entries, and `=null` removes it; of
`data.columns` a column that is `null` is one that the files do not have.

An assignment of another `engine.runner` than that of the files replaces the whole
section `engine`, so that the same file serves an engine and, for once, this machine.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from components.evaluator import config as evaluator_config
from pipeline.config import PipelineConfig
from pipeline.config.yaml_layers import KeyPath, Layer, parse_assignment, read_layer
from pipeline.secret_text import holds_secret
from pipeline.secret_variables import SECRET_KEYS, SECTIONS
from trainer.errors import UsageError

_ADAPTER = TypeAdapter(PipelineConfig)
_BUT = ", but it "  # stands in a message before what is allowed
_ENTRY_DEPTH = 3  # section.field.entry: one entry of a mapping field
_RUNNER = ("engine", "runner")
_WITH_NULLS = ("data", "columns")  # a mapping in which null is a value
# People write addresses and passwords there, whose place is the environment: no message
# shows more of a refused value than one word.
_WORD = re.compile(r'"?[\w.-]{0,30}"?')


def load(
    files: Sequence[Path] = (),
    assignments: Sequence[str] = (),
    default_dataset: str | None = None,
) -> PipelineConfig:
    """Merges the layers and validates the result.

    Args:
      files: YAML files or names of packaged presets, the last wins.
      assignments: `key.path=value` texts, the last wins; they win over files.
      default_dataset: Used for `data.dataset` if no layer names one.

    Raises:
      UsageError: An unknown key, a wrong type or an impossible value: the message
        names the key, where it was written, its value and what is allowed. Or a value
        has the form of a secret: logs, reports and compiled files show all of it.
    """
    user = [_user_layer(path) for path in files]
    sets = [(parse_assignment(text), text) for text in assignments]
    base = Layer({"data": {"dataset": default_dataset}} if default_dataset else {})
    data = _merged([base, *user], sets).values["data"]
    dataset = data.get("dataset") if isinstance(data, dict) else None
    packaged = _packaged(dataset)
    preset = Layer({}) if packaged is None else read_layer(packaged)
    layer = _merged([base, preset, *user], sets)
    config = _validate(layer)
    for path, text in _texts(_ADAPTER.dump_python(config, mode="json")):
        if holds_secret(text):  # the value is not shown: it may be one
            raise UsageError(
                f"{'.'.join(path)} looks like a secret, and the configuration is "
                "readable in the files of every run",
                "Remove it; kubeflow.secrets can name a Kubernetes secret.",
            )
    return config


def dump(config: PipelineConfig) -> str:
    """Formats the whole configuration as YAML, from which `load` makes an equal one."""
    plain = _ADAPTER.dump_python(config, mode="json")
    return yaml.safe_dump(plain, sort_keys=False)


def _texts(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Yields every text of the configuration, with the key that it is at or is."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield path, str(key)
            yield from _texts(inner, (*path, str(key)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, str(index)))
    elif isinstance(value, str):
        yield path, value


def _user_layer(path: Path) -> Layer:
    """Reads a file or, if there is none, the packaged preset of that name."""
    packaged = None if path.exists() else _packaged(str(path))
    return read_layer(packaged or path)


def _packaged(name: object) -> Path | None:
    """The file of a packaged preset; None if no preset has that name."""
    # A name is one path segment; other values are rejected later.
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]+", name):
        return None
    path = Path(str(resources.files("pipeline.config"))) / "presets" / f"{name}.yaml"
    return path if path.is_file() else None


def _merged(
    layers: Sequence[Layer], sets: Sequence[tuple[tuple[KeyPath, Any], str]]
) -> Layer:
    values = _ADAPTER.dump_python(PipelineConfig(), mode="json")
    origins: dict[KeyPath, str] = {}
    for layer in layers:
        for section, content in layer.values.items():
            if isinstance(content, Mapping) and isinstance(values.get(section), dict):
                values[section].update(copy.deepcopy(dict(content)))
            elif content is not None:  # `train:` with nothing under it changes nothing
                values[section] = copy.deepcopy(content)
        origins.update(layer.origins)
    # Another engine has other keys: those of the files are not for it, and those that
    # are assigned are, wherever they are given.
    for (path, value), text in sorted(sets, key=lambda item: item[0][0] != _RUNNER):
        engine = values["engine"]  # not yet checked: a file can have any value there
        if (
            path == _RUNNER
            and isinstance(engine, dict)
            and value != engine.get("runner")
        ):
            values["engine"] = _ADAPTER.dump_python(PipelineConfig(), mode="json")[
                "engine"
            ]
        _assign(values, path, value, text)
        origins[path] = f"--set {text}"
    return Layer(values, origins)


def _assign(values: dict[str, Any], path: KeyPath, value: Any, text: str) -> None:
    target: Any = values
    for depth, key in enumerate(path[:-1]):
        target = target.setdefault(key, {}) if depth else target.get(key)
        if not isinstance(target, dict):
            known = ".".join(path[: depth + 1])
            what, remedy = f"{known} has no keys below it", "Remove what follows it."
            if not depth:
                what, remedy = f"there is no section {key!r}", _suggestion(path[:1])
            raise UsageError(f"--set {text}: {what}", remedy)
    if value is None and len(path) == _ENTRY_DEPTH and path[:-1] != _WITH_NULLS:
        target.pop(path[-1], None)
    else:
        target[path[-1]] = value


def _validate(layer: Layer) -> PipelineConfig:
    try:
        text = json.dumps(layer.values, default=str)
        return _ADAPTER.validate_json(text, strict=True)
    except ValidationError as error:
        found = [_explain(details, layer) for details in error.errors()]
        message = "; ".join(_united(message for message, _ in found))
        remedies = dict.fromkeys(remedy for _, remedy in found)
        raise UsageError(message, " ".join(remedies)) from error


def _explain(details: ErrorDetails, layer: Layer) -> tuple[str, str]:
    """Explains one pydantic error as (message, remedy)."""
    path = _path(details["loc"], layer.values)
    key, where = ".".join(path), _origin(path, layer)
    match details["type"]:
        case "unexpected_keyword_argument":
            return f"There is no key {key!r}{where}", _suggestion(path)
        case evaluator_config.UNKNOWN_METRIC:
            message = f"{key!r}{where} is not a metric for this threshold"
            return message, details["ctx"]["remedy"]
        case "missing":  # an entry of a list of fixed length
            return f"{key} is missing{where}", "Add it."
        case "value_error":  # from a validator of ours, which names the keys itself
            error = details["ctx"]["error"]
            remedy = getattr(error, "remedy", "Change one of these values.")
            return f"{error}{where}", remedy
    allowed = _allowed(details["msg"])
    if details["loc"][-1:] == ("[key]",):
        return f"There is no entry {key!r}{where}: it {allowed}", "Rename it."
    value = json.dumps(details["input"], default=str)
    if path[0] in SECTIONS and not _WORD.fullmatch(value):
        value = "***"
    return f"{key} is {value}{where}{_BUT}{allowed}", "Change its value."


def _path(loc: Sequence[int | str], values: Any) -> KeyPath:
    """Returns the keys of pydantic's path, which also names types of a union."""
    path: list[str] = []
    for part in loc:
        if not isinstance(values, Mapping | list):  # there are no keys below it
            break
        if part != "[key]":
            path.append(str(part))
        below = values if isinstance(values, Mapping) else dict(enumerate(values))
        values = below.get(part, {})
    return tuple(path)


def _united(messages: Iterable[str]) -> Iterator[str]:
    """Joins what is said of one value: there is an error for each type it may have."""
    rules: dict[str, list[str]] = {}
    for message in messages:
        value, but, rule = message.partition(_BUT)
        rules.setdefault(value, []).extend([rule] if but else [])
    for value, of_value in rules.items():
        yield f"{value}{_BUT}{' or '.join(of_value)}" if of_value else value


def _origin(path: KeyPath, layer: Layer) -> str:
    """Where a key, or else the nearest key above it, was written: " (<origin>)"."""
    for length in range(len(path), 0, -1):
        if path[:length] in layer.origins:
            origin = layer.origins[path[:length]]
            if path[0] in SECTIONS:  # the value of `--set` may be a secret
                origin = origin.partition("=")[0]
            return f" ({origin})"
    return ""


def _allowed(message: str) -> str:
    """What is allowed, from pydantic's "Input should be ..."."""
    for subject in ("Input should", "String should"):
        message = message.replace(subject, "must", 1)
    return message.replace("an object", "a section or mapping of keys to values")


def _suggestion(path: KeyPath) -> str:
    """Names the most similar key and all keys that are allowed in that section."""
    if path[0] in SECTIONS and path[-1] in SECRET_KEYS:
        variable = f"{path[-1]}_env"
        return f"Put its value into an environment variable, and name it by {variable}."
    section: Any = PipelineConfig()
    for part in path[:-1]:
        # The entries of a mapping have no attributes: the suggestion stops there.
        section = getattr(section, part, None)
    if not dataclasses.is_dataclass(section):
        return "Remove it."
    names = [item.name for item in dataclasses.fields(section)]
    allowed = f"Allowed: {', '.join(names)}."
    near = difflib.get_close_matches(path[-1], names, n=1)
    prefix = ".".join(path[:-1])
    if not near:
        return allowed
    return f"Did you mean {f'{prefix}.' if prefix else ''}{near[0]}? {allowed}"
