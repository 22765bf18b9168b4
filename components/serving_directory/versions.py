"""Which versions there are, and which of them are complete."""

from __future__ import annotations

import logging
import os
import re
from typing import Final

from components import storage
from components.serving_directory.completeness import missing_file
from components.serving_directory.layout import LARGEST_VERSION, WITHDRAWN_PREFIX
from components.serving_directory.pushes import read_push
from trainer.errors import UserError

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


def newest_complete(serving_dir: str) -> str | None:
    """Returns the highest version that is complete; None if there is none.

    A newer version that is not complete is being copied, or damaged, so it is skipped.

    Raises:
      UserError: The directory cannot be read.
    """
    for name in reversed(versions(serving_dir)):
        folder = os.path.join(serving_dir, name)
        file = missing_file(folder)
        if file is None:
            return name
        _LOG.warning("Version %s is not complete: no %s.", folder, file)
    return None


def check_damage(serving_dir: str) -> None:
    """Fails if there are versions, but none that is complete.

    Unless they must be Pusher's own, whose copy to an object store was interrupted.

    Raises:
      UserError: Versions that are damaged or that another program copies are all that
        there is.
    """
    for name in reversed(versions(serving_dir)):
        folder = os.path.join(serving_dir, name)
        file = missing_file(folder)
        if file is None:
            return
        is_cut_off = storage.size(os.path.join(folder, file)) > 0
        if is_cut_off or read_push(folder) is None:
            raise UserError(
                f"No version in {serving_dir} is complete: {folder} has no complete "
                f"{file}",
                "Wait until it has been copied, or remove it if it is damaged; without "
                "any version, the run is the first.",
            )


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
