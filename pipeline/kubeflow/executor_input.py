"""Translates the launcher's `ExecutorInput` for TFX, and TFX's output for the server.

Both are nested dicts, like their JSON. Servers before 2.15 leave out the names of
outputs, and no server passes on the types of inputs, which TFX needs.
https://github.com/tensorflow/tfx/issues/7768

The launcher mirrors object stores to local folders: it downloads a step's inputs
before, and uploads its outputs after. A step works on these folders, since TensorFlow
opens neither `minio://` nor `s3://`; at `gs://` it writes empty objects for folders, on
which the next step's download fails.
https://github.com/kubeflow/pipelines/issues/13476
"""

from __future__ import annotations

import copy
import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trainer.errors import UserError
from trainer.text import escaped, has_control_characters

Json = dict[str, Any]
MIRROR_ROOT_ENV: Final = "TWO_TOWER_MIRROR_ROOT"
# Scheme -> folder (`LocalPathForURI` of the launcher).
_MIRRORS: Final = {"minio": "minio", "s3": "s3", "gs": "gcs"}
# A key that is still encoded after this many decodings was made to deceive.
_MAX_DECODINGS: Final = 5
# How object stores mark a folder, which they do not have.
_FOLDER_MARKER: Final = "_$folder$"


@dataclass(frozen=True)
class TfxInput:
    """An `ExecutorInput` that TFX understands.

    Attributes:
      content: The message.
      output_file: Where the launcher expects the `ExecutorOutput`.
      uris: Local path of an artifact -> its URI.
    """

    content: Json
    output_file: str
    uris: dict[str, str]

    def inputs(self) -> list[Json]:
        """The input artifacts."""
        return [artifact for _, artifact in _artifacts(self.content, "inputs")]

    def outputs(self) -> list[Json]:
        """The output artifacts."""
        return [artifact for _, artifact in _artifacts(self.content, "outputs")]


def adapt(executor_input: Json, inputs_spec: Json) -> TfxInput:
    """Translates the message of an open-source launcher for TFX.

    Args:
      executor_input: What the launcher substitutes for `{{$}}`.
      inputs_spec: The component's `inputDefinitions`, from the compiled file.

    Raises:
      UserError: The message is not an `ExecutorInput`.
    """
    content = copy.deepcopy(executor_input)
    output_file = content.get("outputs", {}).get("outputFile")
    if not output_file:
        raise UserError(
            "The launcher's message names no output file",
            "Run the step by Kubeflow Pipelines 2.0 or newer.",
        )
    _drop_server_outputs(content)
    specs = inputs_spec.get("artifacts", {})
    uris = {}
    for part in ("inputs", "outputs"):
        for key, artifact in _artifacts(content, part):
            uri = artifact["uri"]
            # TFX derives ids from names, and 0 is not a valid id.
            artifact["name"] = artifact.get("name") or f"{key}:{uri}"
            artifact["uri"] = local_path(uri)
            uris[artifact["uri"]] = uri
            if part == "inputs" and key in specs:
                # Servers pass no type, and `kfp.local` the same for all inputs.
                artifact["type"] = dict(specs[key]["artifactType"])
    return TfxInput(content, output_file, uris)


def local_path(uri: str) -> str:
    """The launcher's local folder for a URI; other paths are returned unchanged.

    Raises:
      UserError: The key of the object would leave the folder.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in _MIRRORS:
        return uri
    check_key(rest, uri)
    return os.path.join(os.environ.get(MIRROR_ROOT_ENV, "/"), _MIRRORS[scheme], rest)


def check_key(key: str, uri: str) -> None:
    """Rejects the key of an object that is no path below a folder.

    Keys are any text, chosen by whoever may write into a bucket. One that is absolute
    or has a part `..`, also percent-encoded or behind a backslash, names a file of this
    machine as soon as it is used as a path.

    Args:
      key: The key, with or without the bucket before it.
      uri: The object, for the message.

    Raises:
      UserError: It is absolute, or has such a part or a control character.
    """
    plain = key
    for _ in range(_MAX_DECODINGS):
        plain, before = urllib.parse.unquote(plain), plain
        if plain == before:
            break
    parts = re.split(r"[/\\]", plain)
    is_outside = not parts[0] or "." in parts or ".." in parts
    if is_outside or has_control_characters(plain) or plain != before:
        raise UserError(
            f"{escaped(uri)} is not the name of an object below a folder",
            "Rename the object: no part of its key may be . or .., and it may hold no "
            "control characters.",
        )


def remove_folder_markers(folder: Path) -> None:
    """Removes the empty files that stand for folders: TFX would read them as data."""
    for path in list(folder.rglob(f"*{_FOLDER_MARKER}")):
        if path.is_file() and path.stat().st_size == 0:
            path.unlink()


def _drop_server_outputs(content: Json) -> None:
    """Drops outputs that the server adds and TFX has no class for: `executor-logs`."""
    outputs = content.get("outputs", {}).get("artifacts", {})
    for key in list(outputs):
        types = [item.get("type", {}) for item in outputs[key].get("artifacts", [])]
        if any("system." in str(value) for kind in types for value in kind.values()):
            del outputs[key]


def finish(output: Json, uris: Mapping[str, str]) -> Json:
    """The `ExecutorOutput` for the server.

    Args:
      output: What TFX wrote.
      uris: From `adapt`.
    """
    artifacts = {
        # JSON of protobuf leaves out a list that is empty.
        key: {"artifacts": [_finished(i, uris) for i in listed.get("artifacts", [])]}
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
        # The launcher cannot store null.
        if value is not None
    }
    finished = {"uri": _with_uris(artifact["uri"], uris), "metadata": metadata}
    return {"name": artifact["name"], **finished} if "name" in artifact else finished


def _with_uris(value: Any, uris: Mapping[str, str]) -> Any:
    """Replaces local paths in a text by URIs, the longest of nested paths first."""
    if isinstance(value, str):
        for path in sorted(uris, key=len, reverse=True):
            value = value.replace(path, uris[path])
    return value


def _artifacts(content: Json, part: str) -> Iterator[tuple[str, Json]]:
    for key, listed in content.get(part, {}).get("artifacts", {}).items():
        for artifact in listed.get("artifacts", []):
            yield key, artifact
