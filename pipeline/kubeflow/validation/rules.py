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

from pipeline.kubeflow.validation.documents import Documents, Problem, read_documents

Rule = Callable[[Documents], Iterator[Problem]]
_SCHEMA_VERSION: Final = "2.1.0"
_PIPELINE_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,126}[a-z0-9])?")
_TEMPLATE_NAME: Final = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]{0,127}")
_ROOTS: Final = ("minio://", "s3://", "gs://")
_IMPORTABLE: Final = (*_ROOTS, "oci://")
_CONDITION_KEY: Final = re.compile(r"inputs\.(artifacts|parameter_values)\['([^']+)'\]")
# Linux limits a single argument (MAX_ARG_STRLEN) to 131,072 bytes; the server adds the
# inputs.
_MAX_ARGUMENT: Final = 100_000
# Fields of KubernetesExecutorConfig that servers since 2.0 know, and their types.
# https://github.com/kubeflow/pipelines/tree/master/kubernetes_platform/proto
_KUBERNETES_FIELDS: Final[dict[str, type]] = {
    "imagePullPolicy": str,
    "imagePullSecret": list,
    "nodeSelector": dict,
    "tolerations": list,
    "secretAsEnv": list,
    "pvcMount": list,
    "activeDeadlineSeconds": str,
}
_SECRET_NAME: Final = re.compile(
    r"passw|secret|token|credential|private|api_?key|access_?key", re.I
)
_FLAG: Final = re.compile(r"^--(?P<name>[\w-]+)=.", re.S)


@dataclass(frozen=True)
class Report:
    """The result of a check.

    Attributes:
      problems: Broken rules; empty if a server would accept and run the file.
      required: Parameters that every run must set.
    """

    problems: list[Problem] = field(default_factory=list)
    required: list[str] = field(default_factory=list)


def check(text: str, *, given: Collection[str] = ()) -> Report:
    """Checks a compiled file as the server does.

    Args:
      text: The YAML.
      given: Parameters that the run will set.
    """
    documents = read_documents(text)
    if isinstance(documents, Problem):
        return Report([documents])
    problems = [problem for rule in _RULES for problem in rule(documents)]
    required = [
        name
        for name, definition in documents.parameters.items()
        if not _is_optional(definition)
    ]
    problems += [
        Problem(
            "parameters",
            f"parameter {name} is not optional, yet has neither a default nor a value",
        )
        for name in required
        if name not in given
    ]
    return Report(problems, required)


def _is_optional(definition: dict[str, Any]) -> bool:
    return bool(definition.get("isOptional")) or "defaultValue" in definition


def _is_strict_message(documents: Documents) -> Iterator[Problem]:
    """`protojson.Unmarshal` rejects unknown fields (`v2_template.go`)."""
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
            yield Problem("message", f"the {what} is not a valid message: {cause}")


def _has_header(documents: Documents) -> Iterator[Problem]:
    """Schema version, name, tasks and root folder (`v2_template.go`, the launcher)."""
    spec = documents.spec
    version = spec.get("schemaVersion")
    if version != _SCHEMA_VERSION:
        yield Problem("schema version", f"it is {version}, not {_SCHEMA_VERSION}")
    name = spec.get("pipelineInfo", {}).get("name", "")
    if not _PIPELINE_NAME.fullmatch(name):
        yield Problem("name", f"the pipeline's name {name!r} is not a DNS label")
    if not documents.tasks:
        yield Problem("root", "the pipeline has no task")
    root = spec.get("defaultPipelineRoot")
    if root is not None and not str(root).startswith(_ROOTS):
        yield Problem("root", f"defaultPipelineRoot {root!r} is not in an object store")


def _components_exist(documents: Documents) -> Iterator[Problem]:
    """Every task has a component with an executor (`visitor.go`)."""
    if "root" in documents.components:
        yield Problem("component", "the name root is reserved")
    for task in documents.tasks:
        if not documents.component(task):
            yield Problem("component", f"{task} names one that does not exist")
        elif not documents.executor(task):
            yield Problem("executor", f"{task} names one that does not exist")


def _names_are_valid(documents: Documents) -> Iterator[Problem]:
    """Names become names of Argo's templates."""
    named = (("task", documents.tasks), ("component", documents.components))
    for kind, names in named:
        for name in names:
            if not _TEMPLATE_NAME.fullmatch(name):
                yield Problem(
                    "name", f"{kind} {name!r} has more than letters, digits, -"
                )


def _executors_can_run(documents: Documents) -> Iterator[Problem]:
    """Containers need an image and a command; resolvers never run (`visitor.go`)."""
    for task in documents.tasks:
        executor = documents.executor(task)
        if "container" in executor:
            container = executor["container"]
            # The launcher wraps the command, and does not know the image's own.
            if not container.get("image") or not container.get("command"):
                yield Problem("executor", f"{task} has no image or no command")
        elif "importer" in executor:
            uri = executor["importer"].get("artifactUri", {})
            constant = str(uri.get("constant", uri.get("constantValue", "")))
            if constant and not constant.startswith(_IMPORTABLE):
                yield Problem(
                    "importer", f"{task} imports {constant}, not in an object store"
                )
        elif executor:
            kind = next(iter(executor))
            yield Problem("executor", f"{task} is a {kind}, which is not implemented")


def _inputs_have_sources(documents: Documents) -> Iterator[Problem]:
    """Producers exist, run before, and make the output (`driver.go`)."""
    for task, content in documents.tasks.items():
        inputs = content.get("inputs", {})
        for key, source in inputs.get("artifacts", {}).items():
            output = source.get("taskOutputArtifact", {})
            yield from _check_producer(documents, task, key, output, "artifact")
        for key, source in inputs.get("parameters", {}).items():
            if "taskOutputParameter" in source:
                output = source["taskOutputParameter"]
                yield from _check_producer(documents, task, key, output, "parameter")
            name = source.get("componentInputParameter", "")
            if name and name not in documents.parameters:
                yield Problem("input", f"{task}.{key}: no pipeline parameter {name}")
        for kind in ("artifacts", "parameters"):
            wanted = documents.component(task).get("inputDefinitions", {})
            for key, definition in wanted.get(kind, {}).items():
                if key not in inputs.get(kind, {}) and not _is_optional(definition):
                    yield Problem("input", f"{task}.{key} has no source")


def _check_producer(
    documents: Documents, task: str, key: str, output: dict[str, Any], kind: str
) -> Iterator[Problem]:
    producer = output.get("producerTask", "")
    if producer not in documents.tasks:
        yield Problem("input", f"{task}.{key}: unknown producer {producer!r}")
        return
    if producer not in documents.tasks[task].get("dependentTasks", []):
        yield Problem("input", f"{task}.{key}: {task} does not wait for {producer}")
    name = output.get(f"output{kind.capitalize()}Key", "")
    outputs = documents.component(producer).get("outputDefinitions", {})
    if name not in outputs.get(f"{kind}s", {}):
        yield Problem("input", f"{task}.{key}: {producer} makes no {kind} {name}")


def _conditions_name_inputs(documents: Documents) -> Iterator[Problem]:
    """CEL fails with "no such key" if a condition reads an input the task lacks."""
    for task, content in documents.tasks.items():
        condition = content.get("triggerPolicy", {}).get("condition", "")
        for _, key in _CONDITION_KEY.findall(condition):
            if key not in content.get("inputs", {}).get("artifacts", {}):
                yield Problem("condition", f"{task}: no such key {key!r}")


def _metadata_has_values(documents: Documents) -> Iterator[Problem]:
    """The launcher cannot store an artifact property that is null."""
    for name, component in documents.components.items():
        outputs = component.get("outputDefinitions", {}).get("artifacts", {})
        for key, artifact in outputs.items():
            for prop, value in artifact.get("metadata", {}).items():
                if value is None:
                    yield Problem("metadata", f"{name}.{key}: {prop} is null")


def _containers_work(documents: Documents) -> Iterator[Problem]:
    """No server calls `lifecycle` hooks, and Linux limits the length of arguments."""
    for task, container in documents.containers():
        if "lifecycle" in container:
            yield Problem("hook", f"{task}: lifecycle.preCacheCheck is never called")
        inputs = documents.tasks[task].get("inputs", {}).get("parameters", {})
        # `{{$}}` is replaced by all parameters together.
        texts = [*container.get("args", []), "".join(map(str, inputs.values()))]
        if max(map(len, texts), default=0) > _MAX_ARGUMENT:
            yield Problem(
                "arguments", f"{task} has one over {_MAX_ARGUMENT} characters"
            )


def _platform_is_known(documents: Documents) -> Iterator[Problem]:
    """Unknown settings are ignored without notice (`v2_template.go`, `visitor.go`)."""
    if not documents.platform:
        return
    kubernetes = documents.platform["platforms"].get("kubernetes")
    if kubernetes is None:
        yield Problem("platform", "the second document has no key kubernetes")
        return
    executors = kubernetes.get("deploymentSpec", {}).get("executors", {})
    for label, settings in executors.items():
        if label not in documents.executors:
            yield Problem("platform", f"there is no executor {label}")
        for key, value in settings.items():
            if not isinstance(value, _KUBERNETES_FIELDS.get(key, ())):
                yield Problem("platform", f"{label}: {key} is unknown or misshaped")


def _no_secret_is_written(documents: Documents) -> Iterator[Problem]:
    """Everybody who may see a pipeline may read its file.

    https://github.com/tensorflow/tfx/issues/3326
    """
    for task, container in documents.containers():
        names = [v["name"] for v in container.get("env", []) if v.get("value")]
        flags = map(_FLAG.match, container.get("args", []))
        names += [f"--{flag['name']}" for flag in flags if flag]
        for name in filter(_SECRET_NAME.search, names):
            yield Problem("secret", f"{task}: the value of {name} is in the file")


_RULES: Final[tuple[Rule, ...]] = (
    _is_strict_message,
    _has_header,
    _components_exist,
    _names_are_valid,
    _executors_can_run,
    _inputs_have_sources,
    _conditions_name_inputs,
    _metadata_has_values,
    _containers_work,
    _platform_is_known,
    _no_secret_is_written,
)
