"""The rules of a Kubeflow Pipelines 2.x server, checked before anything is sent to it.

The Python client and its loaders accept files that the server rejects, and the server
accepts files that fail in the first step. Each rule names the server's source file, or
the public issue, that it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.kubeflow.compiled import CompiledPipeline
from pipeline.kubeflow.graph_rules import (
    exit_tasks_can_run,
    inputs_have_sources,
    is_optional,
)
from pipeline.secret_text import holds_secret, is_secret_name

Rule = Callable[[CompiledPipeline], Iterator[str]]
_SCHEMA_VERSION: Final = "2.1.0"
_PIPELINE_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,126}[a-z0-9])?")
_TEMPLATE_NAME: Final = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]{0,127}")
_ROOTS: Final = ("minio://", "s3://", "gs://")
_IMPORTABLE: Final = (*_ROOTS, "oci://")
_CONDITION_KEY: Final = re.compile(r"inputs\.(artifacts|parameter_values)\['([^']+)'\]")
# Linux limits a single argument (MAX_ARG_STRLEN) to 131,072 bytes; the server adds the
# inputs.
_MAX_ARGUMENT: Final = 100_000
# Fields of KubernetesExecutorConfig that servers know, and their types. Those since 2.5
# ignore the fields that they do not know, older ones reject the file.
# https://github.com/kubeflow/pipelines/tree/master/kubernetes_platform/proto
_KUBERNETES_FIELDS: Final[dict[str, type]] = {
    "imagePullPolicy": str,
    "imagePullSecret": list,
    "nodeSelector": dict,
    "tolerations": list,
    "secretAsEnv": list,
    "pvcMount": list,
    "activeDeadlineSeconds": str,
    "securityContext": dict,
}
_SHAPE, _MESSAGE = "shape", "message"
_FLAG: Final = re.compile(r"--?(?P<name>[A-Za-z][\w.-]*)(?P<value>=.+)?", re.S)


@dataclass(frozen=True)
class Report:
    """The result of a check.

    Attributes:
      problems: Rule, what breaks it and where; empty if a server would accept and run
        the file.
      required: Parameters that every run must set.
    """

    problems: list[str] = field(default_factory=list)
    required: list[str] = field(default_factory=list)


def check(text: str, *, given: Collection[str] = ()) -> Report:
    """Checks a compiled file as the server does.

    Args:
      text: The YAML.
      given: Parameters that the run will set.
    """
    try:
        pipeline = CompiledPipeline.from_yaml(text)
    except ValueError as error:
        return Report([str(error)])
    problems = [problem for rule in _RULES for problem in _broken(rule, pipeline)]
    if _is_misshapen(problems):
        return Report(problems)
    required = [
        name
        for name, definition in pipeline.parameters.items()
        if not is_optional(definition)
    ]
    problems += [
        f"parameters: parameter {name} is not optional, yet has neither a default nor "
        "a value"
        for name in required
        if name not in given
    ]
    return Report(problems, required)


def _broken(rule: Rule, pipeline: CompiledPipeline) -> list[str]:
    """Applies a rule, also to a file of any shape."""
    try:
        return list(rule(pipeline))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        return [
            f"{_SHAPE}: {rule.__name__.strip('_').replace('_', ' ')}: a value is of "
            f"another kind than the server reads ({type(error).__name__})"
        ]


def _is_misshapen(problems: list[str]) -> bool:
    return any(problem.startswith((_SHAPE, _MESSAGE)) for problem in problems)


def _is_strict_message(pipeline: CompiledPipeline) -> Iterator[str]:
    """`protojson.Unmarshal` rejects unknown fields (`v2_template.go`)."""
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    for what, content, message in (
        ("pipeline", pipeline.spec, pipeline_spec_pb2.PipelineSpec()),
        ("platform document", pipeline.platform, pipeline_spec_pb2.PlatformSpec()),
    ):
        try:
            json_format.ParseDict(content, message)
        except json_format.ParseError as error:
            cause = " ".join(str(error).split())
            yield f"{_MESSAGE}: the {what} is not a valid message: {cause}"


def _has_header(pipeline: CompiledPipeline) -> Iterator[str]:
    """Schema version, name, tasks and root folder (`v2_template.go`, the launcher)."""
    spec = pipeline.spec
    version = spec.get("schemaVersion")
    if version != _SCHEMA_VERSION:
        yield f"schema version: it is {version}, not {_SCHEMA_VERSION}"
    name = spec.get("pipelineInfo", {}).get("name", "")
    if not _PIPELINE_NAME.fullmatch(name):
        yield f"name: the pipeline's name {name!r} is not a DNS label"
    if not pipeline.tasks:
        yield "root: the pipeline has no task"
    root = spec.get("defaultPipelineRoot")
    if root is not None and not str(root).startswith(_ROOTS):
        yield f"root: defaultPipelineRoot {root!r} is not in an object store"


def _components_exist(pipeline: CompiledPipeline) -> Iterator[str]:
    """Every task has a component with an executor (`visitor.go`).

    Names become names of Argo's templates.
    """
    named = (("task", pipeline.tasks), ("component", pipeline.components))
    for kind, names in named:
        for name in names:
            if not _TEMPLATE_NAME.fullmatch(name):
                yield f"name: {kind} {name!r} has more than letters, digits, -"
    if "root" in pipeline.components:
        yield "component: the name root is reserved"
    found = [task for graph in pipeline.graphs() for task in graph.tasks]
    for task in sorted({task for task in found if found.count(task) > 1}):
        # The server takes it, but everything here names a task by its name.
        yield f"name: {task} is a task of two graphs"
    for task in pipeline.tasks:
        if not pipeline.component(task):
            yield f"component: {task} names one that does not exist"
        elif "dag" not in pipeline.component(task) and not pipeline.executor(task):
            yield f"executor: {task} names one that does not exist"


def _executors_can_run(pipeline: CompiledPipeline) -> Iterator[str]:
    """Containers need an image and a command; resolvers never run (`visitor.go`)."""
    for task in pipeline.tasks:
        executor = pipeline.executor(task)
        if "container" in executor:
            container = executor["container"]
            # The launcher wraps the command, and does not know the image's own.
            if not container.get("image") or not container.get("command"):
                yield f"executor: {task} has no image or no command"
        elif "importer" in executor:
            uri = executor["importer"].get("artifactUri", {})
            constant = str(uri.get("constant", uri.get("constantValue", "")))
            if constant and not constant.startswith(_IMPORTABLE):
                yield f"importer: {task} imports {constant}, not in an object store"
        elif executor:
            kind = next(iter(executor))
            yield f"executor: {task} is a {kind}, which is not implemented"


def _conditions_name_inputs(pipeline: CompiledPipeline) -> Iterator[str]:
    """CEL fails with "no such key" if a condition reads an input the task lacks."""
    for task, content in pipeline.tasks.items():
        condition = content.get("triggerPolicy", {}).get("condition", "")
        for _, key in _CONDITION_KEY.findall(condition):
            if key not in content.get("inputs", {}).get("artifacts", {}):
                yield f"condition: {task}: no such key {key!r}"


def _metadata_has_values(pipeline: CompiledPipeline) -> Iterator[str]:
    """The launcher cannot store an artifact property that is null."""
    for name, component in pipeline.components.items():
        outputs = component.get("outputDefinitions", {}).get("artifacts", {})
        for key, artifact in outputs.items():
            for prop, value in artifact.get("metadata", {}).items():
                if value is None:
                    yield f"metadata: {name}.{key}: {prop} is null"


def _containers_work(pipeline: CompiledPipeline) -> Iterator[str]:
    """No server calls `lifecycle` hooks, and Linux limits the length of arguments."""
    for task, container in pipeline.containers():
        if "lifecycle" in container:
            yield f"hook: {task}: lifecycle.preCacheCheck is never called"
        inputs = pipeline.tasks[task].get("inputs", {}).get("parameters", {})
        # `{{$}}` is replaced by all parameters together.
        texts = [*container.get("args", []), "".join(map(str, inputs.values()))]
        if max(map(len, texts), default=0) > _MAX_ARGUMENT:
            yield f"arguments: {task} has one over {_MAX_ARGUMENT} characters"


def _platform_is_known(pipeline: CompiledPipeline) -> Iterator[str]:
    """Unknown settings are ignored without notice (`v2_template.go`, `visitor.go`)."""
    if not pipeline.platform:
        return
    kubernetes = pipeline.platform["platforms"].get("kubernetes")
    if kubernetes is None:
        yield "platform: the second document has no key kubernetes"
        return
    executors = kubernetes.get("deploymentSpec", {}).get("executors", {})
    for label, settings in executors.items():
        if label not in pipeline.executors:
            yield f"platform: there is no executor {label}"
        for key, value in settings.items():
            if not isinstance(value, _KUBERNETES_FIELDS.get(key, ())):
                yield f"platform: {label}: {key} is unknown or misshaped"


def _no_secret_is_written(pipeline: CompiledPipeline) -> Iterator[str]:
    """Everybody who may see a pipeline may read its file.

    https://github.com/tensorflow/tfx/issues/3326
    """
    for task, container in pipeline.containers():
        variables = {v["name"]: v.get("value", "") for v in container.get("env", [])}
        given = [*variables.items(), *_flags(container.get("args", []))]
        for name, value in given:
            if value and (is_secret_name(name) or holds_secret(value)):
                yield f"secret: {task}: the value of {name} is in the file"
    for where, text in _texts(pipeline.spec, "pipeline"):
        if holds_secret(text) and ".args" not in where and ".env" not in where:
            yield f"secret: {where} holds one"
    for where, text in _texts(pipeline.platform, "platform document"):
        if holds_secret(text):
            yield f"secret: {where} holds one"


def _flags(arguments: list[str]) -> Iterator[tuple[str, str]]:
    """Yields flags with their values, `--flag=value` or `--flag value`."""
    for argument, following in zip(arguments, [*arguments[1:], "-"], strict=True):
        flag = _FLAG.fullmatch(argument)
        if flag is None:
            yield "an argument", argument
        elif flag["value"]:
            yield f"--{flag['name']}", flag["value"][1:]
        elif not following.startswith("-"):
            yield f"--{flag['name']}", following


def _texts(content: Any, where: str) -> Iterator[tuple[str, str]]:
    """Yields every text of a document, with its place."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _texts(value, f"{where}.{key}")
    elif isinstance(content, list):
        for value in content:
            yield from _texts(value, where)
    elif isinstance(content, str):
        yield where, content


_RULES: Final[tuple[Rule, ...]] = (
    _is_strict_message,
    _has_header,
    _components_exist,
    _executors_can_run,
    inputs_have_sources,
    exit_tasks_can_run,
    _conditions_name_inputs,
    _metadata_has_values,
    _containers_work,
    _platform_is_known,
    _no_secret_is_written,
)
