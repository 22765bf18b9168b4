"""The rules of a Kubeflow Pipelines 2.x server, checked before anything is sent to it.

The Python client and its loaders accept what the server rejects, and the server accepts
what fails in the first step. Each rule names the place in the server's sources or the
public report that it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from pipeline.kubeflow.validation import platform_rules, task_rules
from pipeline.kubeflow.validation.problems import Documents, Problem

_SCHEMA_VERSION: Final = "2.1.0"
_PIPELINE_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,126}[a-z0-9])?")
_SPEC_MARKS: Final = ("pipelineInfo", "root", "deploymentSpec", "schemaVersion")


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
      problems: Broken rules; empty where a server would take and run the file.
      required: Parameters that every run must give.
    """

    problems: list[Problem] = field(default_factory=list)
    required: list[str] = field(default_factory=list)


def check(text: str, *, given: Collection[str] = ()) -> Report:
    """Checks a compiled file as the server does.

    Args:
      text: The YAML.
      given: Parameters that the run will name.
    """
    documents, problems = _read(text)
    if documents is None:
        return Report(problems)
    for rule in _RULES:
        problems += rule(documents)
    required = [*task_rules.required_parameters(documents.spec)]
    problems += [
        Problem(
            "parameters",
            f"parameter {name} is not optional, yet has neither a default nor a value",
        )
        for name in required
        if name not in given
    ]
    return Report(problems, required)


def _read(text: str) -> tuple[Documents | None, list[Problem]]:
    """The two documents, as `v2_template.go` tells them apart."""
    try:
        loaded = [item for item in yaml.safe_load_all(text) if item is not None]
    except yaml.YAMLError as error:
        return None, [Problem("yaml", " ".join(str(error).split()))]
    maps = [item for item in loaded if isinstance(item, dict)]
    specs = [item for item in maps if any(mark in item for mark in _SPEC_MARKS)]
    platforms = [item for item in maps if "platforms" in item]
    if len(maps) != len(loaded) or len(specs) + len(platforms) != len(maps):
        wrapper = any("pipelineSpec" in item for item in maps)
        what = "a PipelineJob, which only Vertex AI takes" if wrapper else "no pipeline"
        return None, [Problem("document", f"the file holds {what}")]
    if len(specs) != 1 or len(platforms) > 1:
        counts = f"{len(specs)} pipelines and {len(platforms)} platform documents"
        return None, [Problem("document", f"the file holds {counts}, not 1 and 0 or 1")]
    return Documents(specs[0], platforms[0] if platforms else {}), []


def _strict_message(documents: Documents) -> Iterator[Problem]:
    """`protojson.Unmarshal` knows no unknown fields (`v2_template.go`)."""
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    for what, content, message in (
        ("pipeline", documents.spec, pipeline_spec_pb2.PipelineSpec()),
        ("platform document", documents.platform, pipeline_spec_pb2.PlatformSpec()),
    ):
        try:
            json_format.ParseDict(content, message)
        except json_format.ParseError as error:
            cause = " ".join(str(error).split())
            yield Problem("message", f"the {what} is no valid message: {cause}")


def _header(documents: Documents) -> Iterator[Problem]:
    """Schema version, name and root (`v2_template.go`)."""
    spec = documents.spec
    version = spec.get("schemaVersion")
    if version != _SCHEMA_VERSION:
        yield Problem("schema version", f"it is {version}, not {_SCHEMA_VERSION}")
    name = spec.get("pipelineInfo", {}).get("name", "")
    if not _PIPELINE_NAME.fullmatch(name):
        yield Problem("name", f"the pipeline's name {name!r} is no DNS label")
    if not documents.tasks:
        yield Problem("root", "the pipeline has no task")


_RULES: Final[tuple[Callable[[Documents], Iterator[Problem]], ...]] = (
    _strict_message,
    _header,
    task_rules.components_exist,
    task_rules.names_are_template_names,
    task_rules.executors_can_run,
    task_rules.inputs_have_sources,
    task_rules.conditions_name_inputs,
    task_rules.metadata_has_values,
    task_rules.no_hook_is_ignored,
    task_rules.arguments_fit,
    platform_rules.root_is_an_object_store,
    platform_rules.settings_are_known,
    platform_rules.no_secret_is_written,
)


def problems_of(spec: dict[str, Any], platform: dict[str, Any] | None = None) -> str:
    """The problems of documents at hand, one a line; for messages and tests."""
    text = yaml.safe_dump_all([spec, *([platform] if platform else [])])
    return "\n".join(map(str, check(text).problems))
