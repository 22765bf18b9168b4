"""Which model is asked: a version, a label, or what is live."""

from __future__ import annotations

import os

from components import storage
from components.serving_directory import complete_versions, labels, missing_file
from pipeline.serving.batch.job import Model
from pipeline.serving.client import ModelInfo
from trainer.errors import UsageError, UserError
from trainer.model_identity import model_id
from trainer.text import escaped


def live_model(serving_dir: str) -> Model:
    """Returns the model that a server of the directory answers with.

    Raises:
      UserError: There is none.
    """
    version = labels.live_version(serving_dir)
    if version is None:
        raise UserError(
            f"No model was pushed to {serving_dir} yet",
            "Run `two-tower run` first; if it was not blessed, its summary says why.",
        )
    return _version(serving_dir, version)


def model_of_version(serving_dir: str, version: str) -> Model:
    """Returns a version of the serving directory.

    Raises:
      UsageError: There is no such version, or it is not complete.
    """
    known = complete_versions(serving_dir)
    if version not in known:
        shown = ", ".join(reversed(known[-5:])) or "none"
        raise UsageError(
            f"{serving_dir} has no complete version {escaped(version)!r}",
            f"The newest are: {shown}.",
        )
    return _version(serving_dir, version)


def model_of_label(serving_dir: str, label: str) -> Model:
    """Returns the version with a label.

    Raises:
      UsageError: There is no such label, or no version has it.
    """
    found = labels.read(serving_dir)
    versions = {labels.STABLE: found.stable, labels.CANARY: found.canary}
    if label not in versions:
        raise UsageError(
            f"There is no label {escaped(label)!r}", f"Known: {', '.join(versions)}."
        )
    version = versions[label]
    if version is None:
        raise UsageError(
            f"No version in {serving_dir} has the label {label}",
            "Name a version; `two-tower models` lists them.",
        )
    return _version(serving_dir, version)


def candidate_model(serving_dir: str, named: str, live: Model) -> Model:
    """Returns the model that a comparison is about.

    Args:
      serving_dir: The serving directory.
      named: A label, a version or the folder of a SavedModel; empty for the canary,
        else for the newest version.
      live: What it is compared with.

    Raises:
      UsageError: There is no such model, or it is the live one.
    """
    if not named:
        candidate = _newest_other(serving_dir, live)
    elif named in (labels.STABLE, labels.CANARY):
        candidate = model_of_label(serving_dir, named)
    elif named.isascii() and named.isdigit():
        candidate = model_of_version(serving_dir, named)
    else:
        candidate = _in_folder(named)
    if candidate.model_id == live.model_id:
        raise UsageError(
            f"--shadow is the same model as version {live.name}",
            "Name another version or the folder of a SavedModel.",
        )
    return candidate


def _newest_other(serving_dir: str, live: Model) -> Model:
    canary = labels.read(serving_dir).canary
    versions = complete_versions(serving_dir)
    for version in [canary] if canary else reversed(versions):
        if version != live.name:
            return _version(serving_dir, version)
    raise UsageError(
        f"{serving_dir} has no version beside {live.name}",
        "Name the folder of a SavedModel: --shadow PATH.",
    )


def _in_folder(path: str) -> Model:
    """Describes a SavedModel anywhere, such as the Trainer's output."""
    if not storage.is_folder(path):
        raise UsageError(
            f"--shadow {escaped(path)!r} is no label, version or folder",
            "Name canary, a version of `two-tower models`, or a SavedModel.",
        )
    path = os.path.abspath(path) if storage.is_local(path) else path
    if file := missing_file(path):
        raise UsageError(f"{path} has no complete {file}", "Name a SavedModel.")
    return Model(path, model_id(path), None, ModelInfo.read(path))


def _version(serving_dir: str, version: str) -> Model:
    path = os.path.join(serving_dir, version)
    path = os.path.abspath(path) if storage.is_local(path) else path
    return Model(path, model_id(path), int(version), ModelInfo.read(path))
