"""The launcher's `ExecutorInput` as TFX needs it, and TFX's output as the server does.

Both are nested dicts, as their JSON has them. Servers before 2.15 leave out the names
of outputs; none of them passes the types of inputs on, which TFX cannot do without.
https://github.com/tensorflow/tfx/issues/7768
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.kubeflow.mirrors import local_path
from trainer.errors import UserError

Json = dict[str, Any]


@dataclass(frozen=True)
class Adapted:
    """An `ExecutorInput` that TFX can run.

    Attributes:
      content: The message.
      output_file: Where the launcher expects the output's metadata.
      uris: Local path of an artifact -> its URI.
    """

    content: Json
    output_file: str
    uris: dict[str, str]

    def inputs(self) -> Iterator[Json]:
        """Yields the input artifacts."""
        for _, artifact in _artifacts(self.content, "inputs"):
            yield artifact

    def outputs(self) -> Iterator[Json]:
        """Yields the output artifacts."""
        for _, artifact in _artifacts(self.content, "outputs"):
            yield artifact


def adapt(executor_input: Json, inputs_spec: Json) -> Adapted:
    """Makes TFX understand what an open-source launcher passes.

    Args:
      executor_input: What the launcher puts in the place of `{{$}}`.
      inputs_spec: The component's `inputDefinitions`, from the compiled file.

    Raises:
      UserError: The message is no `ExecutorInput`.
    """
    content = copy.deepcopy(executor_input)
    output_file = content.get("outputs", {}).get("outputFile")
    if not output_file:
        raise UserError(
            "The launcher named no output file",
            "Run the step by Kubeflow Pipelines 2.0 or newer.",
        )
    drop_foreign_outputs(content)
    restore_types(content, inputs_spec)
    name_artifacts(content)
    uris = map_uris(content)
    return Adapted(content, output_file, uris)


def drop_foreign_outputs(content: Json) -> None:
    """Drops outputs that the server adds and TFX has no class for: `executor-logs`."""
    outputs = content.get("outputs", {}).get("artifacts", {})
    for key in list(outputs):
        types = [artifact.get("type", {}) for artifact in _listed(outputs[key])]
        if any("system." in str(value) for kind in types for value in kind.values()):
            del outputs[key]


def restore_types(content: Json, inputs_spec: Json) -> None:
    """Gives inputs the types that the compiled file says they have.

    Servers pass an empty one on, and `kfp.local` calls everything `system.Artifact`.
    """
    specs = inputs_spec.get("artifacts", {})
    for key, artifact in _artifacts(content, "inputs"):
        if key in specs:
            artifact["type"] = dict(specs[key]["artifactType"])


def name_artifacts(content: Json) -> None:
    """Gives every artifact a name: TFX makes its id of that, and 0 would not be one."""
    for part in ("inputs", "outputs"):
        for key, artifact in _artifacts(content, part):
            artifact["name"] = artifact.get("name") or f"{key}:{artifact['uri']}"


def map_uris(content: Json) -> dict[str, str]:
    """Replaces URIs by the launcher's mirrors.

    Returns:
      Local path -> URI.
    """
    uris = {}
    for part in ("inputs", "outputs"):
        for _, artifact in _artifacts(content, part):
            uri = artifact["uri"]
            artifact["uri"] = local_path(uri)
            uris[artifact["uri"]] = uri
    return uris


def finish(output: Json, uris: Mapping[str, str]) -> Json:
    """The `ExecutorOutput` for the server.

    Args:
      output: What TFX wrote.
      uris: From `adapt`.
    """
    artifacts = {
        key: {"artifacts": [_finished(item, uris) for item in _listed(listed)]}
        for key, listed in output.get("artifacts", {}).items()
    }
    finished: Json = {"artifacts": artifacts}
    if output.get("parameterValues"):
        finished["parameterValues"] = output["parameterValues"]
    return finished


def _finished(artifact: Json, uris: Mapping[str, str]) -> Json:
    metadata = {
        key: _with_uris(value, uris)
        for key, value in artifact.get("metadata", {}).items()
        # The launcher cannot store what has no value.
        if value is not None
    }
    finished = {"uri": _with_uris(artifact["uri"], uris), "metadata": metadata}
    return {"name": artifact["name"], **finished} if "name" in artifact else finished


def _with_uris(value: Any, uris: Mapping[str, str]) -> Any:
    """Replaces local paths in a text; of nested ones the longest."""
    if isinstance(value, str):
        for path in sorted(uris, key=len, reverse=True):
            value = value.replace(path, uris[path])
    return value


def _artifacts(content: Json, part: str) -> Iterator[tuple[str, Json]]:
    for key, listed in content.get(part, {}).get("artifacts", {}).items():
        for artifact in _listed(listed):
            yield key, artifact


def _listed(listed: Json) -> list[Json]:
    found: list[Json] = listed.get("artifacts", [])
    return found
