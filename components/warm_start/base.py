"""Finds the served model that training starts from."""

from __future__ import annotations

import json
import os
from typing import Any, Final

from components import storage
from components.live_model.baseline import Baseline
from components.serving_directory import latest_version, missing_file, read_push
from trainer.model_identity import model_id
from trainer.serving_contract import DATA_FINGERPRINT, MODEL_INFO_FILE
from trainer.warm_start import START_FILE

# TFX's folder of a model within its artifact, where the Trainer looks for its base.
COPY_FOLDER: Final = "Format-Serving"
# Of versions that replaced each other, more are not followed.
_MAX_STEPS: Final = 1000


def find_base(serving_dir: str, data: str, copies: str) -> Baseline:
    """Finds the newest model in the line of the live one that had other data.

    That is the live model itself, unless it was trained on the data of this run: then
    it is the one that it replaced, and so on. So a run that is repeated starts as it
    did before, although its own model is live by now, and two settings that are tried
    on the same data start from the same model.

    Args:
      serving_dir: The versions.
      data: Digest of this run's data.
      copies: Folder with what earlier runs copied, one subfolder each; need not exist.

    Returns:
      The model; its `folder` is in the serving directory, or among the copies. Without
      a version if there is none, with the reason as `note`.

    Raises:
      UserError: The serving directory cannot be read.
    """
    version = latest_version(serving_dir)
    if version is None:
        return Baseline(note="nothing is live")
    folder = os.path.join(serving_dir, version)
    found = Baseline(version, model_id(folder), folder)
    for _ in range(_MAX_STEPS):
        # A copy has no such file: it was made for this, of a model with other data.
        info = _json(os.path.join(found.folder, MODEL_INFO_FILE))
        if not data or info.get(DATA_FINGERPRINT) != data:
            return found
        push = read_push(found.folder)
        if push is None or push.replaced is None:
            return Baseline(note="the live model was trained on the same data")
        replaced = _find(
            push.replaced, push.replaced_model_id or "", serving_dir, copies
        )
        if replaced is None:
            return Baseline(
                note=f"the live model was trained on the same data, and version "
                f"{push.replaced}, which it replaced, is gone"
            )
        found = replaced
    return Baseline(note="no earlier model was found")


def _find(
    version: str, identity: str, serving_dir: str, copies: str
) -> Baseline | None:
    """Finds a version, or what an earlier run copied of it; None if it is gone."""
    folder = os.path.join(serving_dir, version)
    is_whole = storage.is_folder(folder) and not missing_file(folder)
    if is_whole and model_id(folder) == identity:
        return Baseline(version, identity, folder)
    for name in storage.names(copies) or ():
        copy = os.path.join(copies, name, COPY_FOLDER)
        record = _json(os.path.join(copy, START_FILE))
        if (record.get("version"), record.get("model_id")) == (version, identity):
            return Baseline(version, identity, copy)
    return None


def is_copy(folder: str) -> bool:
    """Returns whether an earlier run made the folder, and it is no SavedModel."""
    return bool(storage.size(os.path.join(folder, START_FILE)))


def _json(path: str) -> dict[str, Any]:
    """Content of a JSON file; empty where there is none, or it is damaged."""
    try:
        content = json.loads(storage.read(path) or b"{}")
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
