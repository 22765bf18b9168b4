"""Which versions there are, which of them are complete, and which is live."""

from __future__ import annotations

import logging
import os
import re
from typing import Final

from components import storage
from components.serving_directory.layout import LARGEST_VERSION, WITHDRAWN_PREFIX
from components.serving_directory.pushes import read_push
from trainer.errors import UserError

_MODEL_FILE: Final = "saved_model.pb"
_INDEX: Final = "variables.index"
_SHARD: Final = re.compile(r"variables\.data-(\d+)-of-(\d+)")
# A graph that restores variables names the tensor with the path of their files.
_RESTORES: Final = (b"saver_filename", b"save/restore_all")
_LOG: Final = logging.getLogger(__name__)


def versions(serving_dir: str) -> list[str]:
    """Returns the names of all versions, complete or not, oldest first.

    Raises:
      UserError: The directory cannot be read.
    """
    return _numbered(serving_dir, "")


def withdrawn_versions(serving_dir: str) -> list[str]:
    """Returns the names of the versions that were withdrawn, oldest first.

    Raises:
      UserError: The directory cannot be read.
    """
    return _numbered(serving_dir, WITHDRAWN_PREFIX)


def _numbered(serving_dir: str, prefix: str) -> list[str]:
    """Returns the numbers, as they are written, of folders with a prefix."""
    found = [
        name.removeprefix(prefix)
        for name in storage.names(serving_dir) or ()
        if re.fullmatch(f"{re.escape(prefix)}[0-9]+", name)
        and int(name.removeprefix(prefix)) <= LARGEST_VERSION
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


def _restores(model_file: str) -> bool:
    """Returns whether a graph restores variables from files."""
    content = storage.read(model_file) or b""
    return any(mark in content for mark in _RESTORES)
