"""Finds the served model that training starts from."""

from __future__ import annotations

import json
import os
from typing import Any, Final

from components import storage
from components.live_model.baseline import Baseline
from components.serving_directory import (
    complete_versions,
    live_version,
    read_push,
)
from trainer.base_model import (
    DATA_FINGERPRINT,
    LAST_TIMESTAMP,
    START_FILE,
    WEIGHTS,
    Data,
)
from trainer.model_identity import model_id
from trainer.serving_contract import MODEL_INFO_FILE

# TFX's folder of a model within its artifact, where the Trainer looks for its base.
COPY_FOLDER: Final = "Format-Serving"


def find_base(serving_dir: str, data: Data, copies: str) -> Baseline:
    """Finds the newest version that was trained on older data than this run's.

    That is the live model or an older one, usually the live one. A run that is repeated
    starts as it did before, although its own model is live by now; two settings that
    are tried on the same data start from the same model; and no run on older data
    starts from a model that has seen newer. Versions that other code exported are
    passed over.

    Args:
      serving_dir: The versions.
      data: This run's data.
      copies: Folder with what earlier runs copied, one subfolder each; need not exist.

    Returns:
      The model; its `folder` is in the serving directory, or among the copies. Without
      a version if there is none, with the reason as `note`.

    Raises:
      UserError: The serving directory cannot be read.
    """
    live = live_version(serving_dir)
    if live is None:
        return Baseline(note="nothing is live")
    passed_over = ""
    for version in reversed(complete_versions(serving_dir)):
        if int(version) > int(live):  # a canary, or one that is live no more
            continue
        folder = os.path.join(serving_dir, version)
        info = _json(os.path.join(folder, MODEL_INFO_FILE))
        if WEIGHTS not in info:
            continue
        if _is_older(info, data):
            return Baseline(version, model_id(folder), folder)
        passed_over = folder
    if not passed_over:
        note = f"the live model, version {live}, was exported by other code"
        return Baseline(note=note)
    push = read_push(passed_over)
    if push is None or push.replaced is None:
        return Baseline(note="no version was trained on older data")
    copy = _find_copy(push.replaced, push.replaced_model_id or "", copies)
    return copy or Baseline(
        note=f"version {push.replaced}, which was trained on older data, is gone"
    )


def _is_older(info: dict[str, Any], data: Data) -> bool:
    """Whether a model was trained on other data than a run's, and none that is newer.

    Rewritten data may end at the same moment.
    """
    end = info.get(LAST_TIMESTAMP)
    is_newer = isinstance(end, int) and data.last is not None and end > data.last
    return not is_newer and info.get(DATA_FINGERPRINT) != data.fingerprint


def _find_copy(version: str, identity: str, copies: str) -> Baseline | None:
    """Finds what an earlier run copied of a version that is gone; None if nothing."""
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
