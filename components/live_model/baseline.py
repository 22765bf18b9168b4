"""Decides which model a candidate is compared with."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Final

from components import storage
from components.serving_directory import Push, live_version, missing_file, read_push
from trainer.model_identity import model_id

# Beside a copy of a version: which one it is.
COPY_FILE: Final = "live_version.json"
_MODEL: Final = "Format-Serving"  # TFX's folder of a model within its artifact


@dataclasses.dataclass(frozen=True)
class Baseline:
    """The model that a candidate is compared with.

    Attributes:
      version: Its version; empty for none.
      model_id: Its identity; empty for none. Where the model that it replaced cannot
        be found, the identity of the live candidate, without a version.
      folder: Where it is; empty for none.
      note: Why there is none, although versions are served; else empty.
    """

    version: str = ""
    model_id: str = ""
    folder: str = ""
    note: str = ""

    @property
    def key(self) -> str:
        """What decides on the comparison, for the cache."""
        return f"{self.version}@{self.model_id}"


def find_baseline(serving_dir: str, candidate: str, copies: str) -> Baseline:
    """Finds what the candidate is compared with.

    That is the live model. If the candidate itself is live, because an earlier run
    pushed it, it is the model that it replaced: an unchanged run comes to the same
    comparison again, and takes it from the cache.

    Args:
      serving_dir: The versions.
      candidate: Folder of the candidate.
      copies: Folder with what earlier runs copied, one subfolder each; need not exist.

    Raises:
      UserError: The serving directory cannot be read.
    """
    version = live_version(serving_dir)
    if version is None:
        return Baseline()
    folder = os.path.join(serving_dir, version)
    live = model_id(folder)
    if live != model_id(candidate):
        return Baseline(version, live, folder)
    note = (
        f"the candidate is itself live, as version {version}: there is no other model "
        "to compare with"
    )
    push = read_push(folder)
    if push is not None and push.replaced is None:
        return Baseline(note=note)
    before = push and _replaced(push, serving_dir, copies)
    return before or Baseline(model_id=live, note=note)


def _replaced(push: Push, serving_dir: str, copies: str) -> Baseline | None:
    """Finds the version that a push replaced, or a copy; None if it is gone."""
    version, identity = push.replaced or "", push.replaced_model_id or ""
    found = [os.path.join(copies, name) for name in storage.names(copies) or ()]
    for copy in filter(storage.is_folder, found):
        folder = os.path.join(copy, _MODEL)
        content = storage.read(os.path.join(copy, COPY_FILE))
        if content == copy_record(version, identity) and not missing_file(folder):
            return Baseline(version, identity, folder)
    folder = os.path.join(serving_dir, version)
    if storage.is_folder(folder) and model_id(folder) == identity:
        return Baseline(version, identity, folder)
    return None


def copy_record(version: str, identity: str) -> bytes:
    """Content of `COPY_FILE`."""
    return json.dumps({"version": version, "model_id": identity}).encode()
