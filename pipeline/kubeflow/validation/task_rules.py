"""Rules about tasks, components and executors: see `validation.rules`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from pipeline.kubeflow.validation.problems import Documents, Problem

_TEMPLATE_NAME: Final = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]{0,127}")
_IMPORTABLE: Final = ("gs://", "s3://", "minio://", "oci://")
_CONDITION_KEY: Final = re.compile(r"inputs\.(artifacts|parameter_values)\['([^']+)'\]")
# Linux takes no longer single argument (MAX_ARG_STRLEN). The server adds the inputs.
_MAX_ARGUMENT: Final = 100_000


def required_parameters(spec: dict[str, Any]) -> Iterator[str]:
    """Yields pipeline parameters that each run must give (`v2_template.go`)."""
    parameters = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    for name, definition in parameters.items():
        if not definition.get("isOptional") and "defaultValue" not in definition:
            yield name


def components_exist(documents: Documents) -> Iterator[Problem]:
    """Every task has a component, and it an executor (`visitor.go`)."""
    if "root" in documents.spec.get("components", {}):
        yield Problem("component", "the name root is reserved")
    for task in documents.tasks:
        if not documents.component(task):
            yield Problem("component", f"{task} names none that exists")
        elif not documents.executor(task):
            yield Problem("executor", f"{task} names none that exists")


def names_are_template_names(documents: Documents) -> Iterator[Problem]:
    """Names become those of Argo's templates."""
    for kind, names in (
        ("task", documents.tasks),
        ("component", documents.spec.get("components", {})),
    ):
        for name in names:
            if not _TEMPLATE_NAME.fullmatch(name):
                yield Problem(
                    "name", f"{kind} {name!r} has more than letters, digits, -"
                )


def executors_can_run(documents: Documents) -> Iterator[Problem]:
    """Containers need an image and a command; resolvers never run (`visitor.go`)."""
    for task in documents.tasks:
        executor = documents.executor(task)
        if "container" in executor:
            container = executor["container"]
            # The launcher wraps the command, so the image's own is not known to it.
            if not container.get("image") or not container.get("command"):
                yield Problem("executor", f"{task} has no image or no command")
        elif "importer" in executor:
            uri = executor["importer"].get("artifactUri", {})
            place = str(uri.get("constant", uri.get("constantValue", "")))
            if place and not place.startswith(_IMPORTABLE):
                yield Problem("importer", f"{task} imports {place}, no object store")
        elif executor:
            kind = next(iter(executor))
            yield Problem("executor", f"{task} is a {kind}, which is not implemented")


def inputs_have_sources(documents: Documents) -> Iterator[Problem]:
    """Producers exist, come before, and make what is asked for (`driver.go`)."""
    parameters = documents.spec.get("root", {}).get("inputDefinitions", {})
    known = parameters.get("parameters", {})
    for task, content in documents.tasks.items():
        inputs = content.get("inputs", {})
        for key, source in inputs.get("artifacts", {}).items():
            output = source.get("taskOutputArtifact", {})
            yield from _check_producer(documents, task, key, output, "artifacts")
        for key, source in inputs.get("parameters", {}).items():
            if "taskOutputParameter" in source:
                output = source["taskOutputParameter"]
                yield from _check_producer(documents, task, key, output, "parameters")
            name = source.get("componentInputParameter", "")
            if name and name not in known:
                yield Problem("input", f"{task}.{key}: no pipeline parameter {name}")
        yield from _check_all_given(documents, task, inputs)


def _check_producer(
    documents: Documents, task: str, key: str, output: dict[str, Any], kind: str
) -> Iterator[Problem]:
    producer = output.get("producerTask", "")
    if producer not in documents.tasks:
        yield Problem("input", f"{task}.{key}: unknown producer {producer!r}")
        return
    if producer not in documents.tasks[task].get("dependentTasks", []):
        yield Problem("input", f"{task}.{key}: {task} does not wait for {producer}")
    singular = kind.removesuffix("s")
    wanted = output.get(f"output{singular.capitalize()}Key", "")
    made = documents.component(producer).get("outputDefinitions", {}).get(kind, {})
    if wanted not in made:
        yield Problem("input", f"{task}.{key}: {producer} makes no {singular} {wanted}")


def _check_all_given(
    documents: Documents, task: str, inputs: dict[str, Any]
) -> Iterator[Problem]:
    wanted = documents.component(task).get("inputDefinitions", {})
    for kind in ("artifacts", "parameters"):
        for key, definition in wanted.get(kind, {}).items():
            optional = definition.get("isOptional") or "defaultValue" in definition
            if key not in inputs.get(kind, {}) and not optional:
                yield Problem("input", f"{task}.{key} is given by nobody")


def conditions_name_inputs(documents: Documents) -> Iterator[Problem]:
    """CEL finds "no such key" where a condition reads what the task does not get."""
    for task, content in documents.tasks.items():
        condition = content.get("triggerPolicy", {}).get("condition", "")
        for _, key in _CONDITION_KEY.findall(condition):
            if key not in content.get("inputs", {}).get("artifacts", {}):
                yield Problem("condition", f"{task}: no such key {key!r}")


def metadata_has_values(documents: Documents) -> Iterator[Problem]:
    """The launcher cannot store an artifact property that is null."""
    for name, component in documents.spec.get("components", {}).items():
        outputs = component.get("outputDefinitions", {}).get("artifacts", {})
        for key, artifact in outputs.items():
            for prop, value in artifact.get("metadata", {}).items():
                if value is None:
                    yield Problem("metadata", f"{name}.{key}: {prop} is null")


def no_hook_is_ignored(documents: Documents) -> Iterator[Problem]:
    """Nothing calls `lifecycle`: an ExampleGen would run without its driver."""
    for task, container in documents.containers():
        if "lifecycle" in container:
            yield Problem("hook", f"{task}: lifecycle.preCacheCheck is never called")


def arguments_fit(documents: Documents) -> Iterator[Problem]:
    """A longer argument ends the container with "argument list too long"."""
    for task, container in documents.containers():
        inputs = documents.tasks[task].get("inputs", {}).get("parameters", {})
        # `{{$}}` is replaced by all parameters together.
        texts = [*container.get("args", []), "".join(map(str, inputs.values()))]
        if max(map(len, texts), default=0) > _MAX_ARGUMENT:
            yield Problem(
                "arguments", f"{task} has one over {_MAX_ARGUMENT} characters"
            )
