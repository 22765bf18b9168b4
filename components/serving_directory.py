"""Reads the serving directory: its versions, what is live, and what was pushed.

```
serving/<version>/                    a SavedModel, as TensorFlow Serving reads it
  assets.extra/push.json              which model it is and what it replaced: `Push`
  assets.extra/train_statistics.pb    statistics of its training data
  assets.extra/reference_statistics.pb    those that they were compared with
serving/.pushed/<model id>.json       the version under which the model was pushed last
```

A version that was removed stays in `.pushed`: it was taken away on purpose. TensorFlow
Serving ignores names that are not numbers. Nothing here imports TensorFlow for a folder
of this machine, since the command line reads it too.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
from typing import Any, Final

from components import storage
from trainer.errors import UserError

# Within a version.
STATISTICS_FILE: Final = "assets.extra/train_statistics.pb"
REFERENCE_FILE: Final = "assets.extra/reference_statistics.pb"
PUSH_FILE: Final = "assets.extra/push.json"
# Within the serving directory.
LEDGER: Final = ".pushed"
STAGING_PREFIX: Final = ".pushing-"
REMOVING_PREFIX: Final = ".removing-"
LARGEST_VERSION: Final = 2**63 - 1  # TensorFlow Serving reads 64-bit integers

_MODEL_FILE: Final = "saved_model.pb"
_INDEX: Final = "variables.index"
_SHARD: Final = re.compile(r"variables\.data-(\d+)-of-(\d+)")
# A graph that restores variables names the tensor with the path of their files.
_RESTORES: Final = (b"saver_filename", b"save/restore_all")
_LOG: Final = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Push:
    """What Pusher recorded about a version.

    Attributes:
      model_id: Identity of the model: see `trainer.model_identity`.
      replaced: Name of the version that was live; None if there was none.
      replaced_model_id: Identity of that; None if there was none.
      compared_with: Version whose statistics the data was compared with; None if there
        was none. It is an older one where the live model had the same data.
      pushed_at: UTC, ISO 8601.
      run_id: The run that pushed it; empty if not known.
    """

    model_id: str
    replaced: str | None
    replaced_model_id: str | None
    compared_with: str | None
    pushed_at: str
    run_id: str


@dataclasses.dataclass(frozen=True)
class Reference:
    """What the distributions of new data are compared with.

    Attributes:
      version: The version that was trained on it.
      statistics: `DatasetFeatureStatisticsList`, serialized; None if the version came
        without.
    """

    version: str
    statistics: bytes | None


def versions(serving_dir: str) -> list[str]:
    """Returns the names of all versions, complete or not, oldest first.

    Raises:
      UserError: The directory cannot be read.
    """
    found = [
        name
        for name in storage.names(serving_dir) or ()
        if re.fullmatch("[0-9]+", name)
        and int(name) <= LARGEST_VERSION
        and storage.is_folder(os.path.join(serving_dir, name))
    ]
    return sorted(found, key=int)


def complete_versions(serving_dir: str) -> list[str]:
    """Returns the names of the versions that can be served, oldest first.

    Raises:
      UserError: The directory cannot be read.
    """
    return [
        name
        for name in versions(serving_dir)
        if missing_file(os.path.join(serving_dir, name)) is None
    ]


def latest_version(serving_dir: str) -> str | None:
    """Returns the version that a TensorFlow Serving of `serving_dir` would serve.

    A newer version that is not complete is being copied, so it is skipped. If that is
    all there is, it must be Pusher's own, whose copy was interrupted.

    Args:
      serving_dir: Directory whose numeric subdirectories are versions.

    Returns:
      Name of the highest version that is complete; None if there is no version.

    Raises:
      UserError: The directory cannot be read, or versions that another program copies
        are all that there is.
    """
    missing = ""
    for name in reversed(versions(serving_dir)):
        folder = os.path.join(serving_dir, name)
        file = missing_file(folder)
        if file is None:
            return name
        _LOG.warning("Version %s is not complete: no %s.", folder, file)
        if read_push(folder) is None:
            missing = missing or f"{folder} has no complete {file}"
    if missing:
        raise UserError(
            f"No version in {serving_dir} is complete: {missing}",
            "Wait until it has been copied, or remove it; without any version, the "
            "run is the first.",
        )
    return None


def missing_file(version_dir: str) -> str | None:
    """Returns a file without which a version cannot be loaded; None if it is complete.

    The files of the variables are compared with what their names announce. So a copy
    that goes on is not taken for a model, in whatever order it copies.

    Raises:
      UserError: The version cannot be read.
    """
    model = os.path.join(version_dir, _MODEL_FILE)
    if not storage.size(model):
        return _MODEL_FILE
    variables = os.path.join(version_dir, "variables")
    found = storage.names(variables) or []
    if not found and not _restores(model):
        return None
    shards = [match for name in found if (match := _SHARD.fullmatch(name))]
    total = int(shards[0][2]) if shards else 1
    wanted = [f"variables.data-{i:05}-of-{total:05}" for i in range(total)]
    for name in (_INDEX, *wanted):
        if name not in found or not storage.size(os.path.join(variables, name)):
            return f"variables/{name}"
    return None


def read_push(version_dir: str) -> Push | None:
    """Returns what Pusher recorded about a version; None if another program pushed it.

    A record that cannot be parsed counts as none.

    Raises:
      UserError: The version cannot be read.
    """
    return _parse(storage.read(os.path.join(version_dir, PUSH_FILE)))


def read_ledger(serving_dir: str, model_id: str) -> dict[str, Any] | None:
    """Returns the fields of the last `Push` of a model and its `version`.

    Raises:
      UserError: The record cannot be read.
    """
    content = storage.read(_ledger_path(serving_dir, model_id))
    if content is None:
        return None
    try:
        found = json.loads(content)
    except ValueError:
        found = {}
    # A damaged record still says that the model was pushed.
    return found if isinstance(found, dict) else {}


def write_ledger(serving_dir: str, version: str, push: Push) -> None:
    """Records that a model was pushed, so that it is known when it is gone."""
    content = {"version": version, **dataclasses.asdict(push)}
    path = _ledger_path(serving_dir, push.model_id)
    storage.write(path, json.dumps(content, indent=2).encode())


def recorded_version(serving_dir: str, model_id: str) -> str | None:
    """Returns the newest complete version that was pushed from a model.

    Args:
      serving_dir: The serving directory.
      model_id: Identity of the model.

    Raises:
      UserError: The directory cannot be read.
    """
    for name in reversed(complete_versions(serving_dir)):
        push = read_push(os.path.join(serving_dir, name))
        if push and push.model_id == model_id:
            return name
    return None


def drift_reference(serving_dir: str, statistics: bytes) -> Reference | None:
    """Returns what the distributions of new data are to be compared with.

    That is the data of the live version. Where that is this very data, it is what the
    live version's data was compared with before, so that a run whose model was pushed
    comes to the same decision when it is repeated.

    Args:
      serving_dir: The serving directory.
      statistics: Those of the new data, serialized deterministically.

    Returns:
      None if there is nothing to compare with.

    Raises:
      UserError: The directory cannot be read.
    """
    version = latest_version(serving_dir)
    if version is None:
        return None
    folder = os.path.join(serving_dir, version)
    live = storage.read(os.path.join(folder, STATISTICS_FILE))
    push = read_push(folder)
    if live != statistics or push is None:
        return Reference(version, live)
    if push.compared_with is None:
        return None
    path = os.path.join(folder, REFERENCE_FILE)
    return Reference(push.compared_with, storage.read(path))


def _restores(model_file: str) -> bool:
    """Returns whether a graph restores variables from files."""
    content = storage.read(model_file) or b""
    return any(mark in content for mark in _RESTORES)


def _ledger_path(serving_dir: str, model_id: str) -> str:
    return os.path.join(serving_dir, LEDGER, f"{model_id}.json")


def _parse(content: bytes | None) -> Push | None:
    try:
        push = Push(**json.loads(content or b"null"))
    except (ValueError, TypeError):
        return None
    required = (push.model_id, push.pushed_at, push.run_id)
    optional = (push.replaced, push.replaced_model_id, push.compared_with)
    is_text = all(isinstance(value, str) for value in required) and all(
        value is None or isinstance(value, str) for value in optional
    )
    return push if is_text else None
