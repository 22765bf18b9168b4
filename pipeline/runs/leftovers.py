"""What killed processes left in a workspace. No run may be going on."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from components.pusher.push_version import abandoned
from components.serving_directory import REMOVING_PREFIX
from pipeline.runs.metadata_store import MetadataStoreReader, connect
from pipeline.runs.workspace import Workspace
from trainer.atomic_files import PART_PREFIX

# Files that were being written; the second kind by an older version.
_PART: Final = re.compile(
    rf"{re.escape(PART_PREFIX)}[0-9a-f]+|"
    r"\.(workspace\.json|summary\.json|config\.yaml)\.\d+|\.latest-.+"
)
_LOG: Final = logging.getLogger(__name__)


def remove_leftovers(workspace: Workspace) -> list[Path]:
    """Removes what nobody will ever read.

    Args:
      workspace: The workspace; the caller holds its lock, and no step runs yet.

    Returns:
      What was removed.
    """
    serving_dir = str(workspace.serving_dir)
    removed = [Path(path) for path in abandoned(serving_dir, remove=True)]
    for path in find_leftovers(workspace):
        try:
            remove(path)
        except OSError as error:
            _LOG.warning("%s cannot be removed: %s", path, error.strerror)
        else:
            removed.append(path)
    for path in removed:
        _LOG.info("Removed %s, which a killed process left", path)
    return removed


def find_leftovers(workspace: Workspace) -> list[Path]:
    """Lists what `remove_leftovers` removes."""
    pushes = abandoned(str(workspace.serving_dir), remove=False)
    return [
        *map(Path, pushes),
        *_parts(workspace),
        *_named(workspace.serving_dir, REMOVING_PREFIX),
        *_of_killed_steps(workspace),
    ]


def remove(path: Path) -> None:
    """Removes a file or a folder with all that is in it; of a link, only the link.

    Raises:
      OSError: It cannot be removed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_inside(path: Path, root: Path) -> bool:
    """Returns whether a path is below a folder, all links in it followed.

    The last part of the path may be a link to anywhere, since it is not followed when
    it is removed. A path with `..` is never inside: its links decide what it means.
    """
    if not path.is_absolute() or ".." in path.parts:
        return False
    parent = Path(os.path.realpath(path.parent))
    real = Path(os.path.realpath(root))
    return parent == real or real in parent.parents


def _parts(workspace: Workspace) -> Iterator[Path]:
    folders = [workspace.root, workspace.runs_dir, *_folders(workspace.runs_dir)]
    for folder in folders:
        for path in _entries(folder):
            if _PART.fullmatch(path.name) and (path.is_symlink() or path.is_file()):
                yield path


def _named(folder: Path, prefix: str) -> Iterator[Path]:
    return (path for path in _entries(folder) if path.name.startswith(prefix))


def _of_killed_steps(workspace: Workspace) -> Iterator[Path]:
    """Yields outputs of executions that never ended, and what TFX kept beside them."""
    if not workspace.metadata_db.is_file():
        return
    unfinished = MetadataStoreReader(connect(workspace)).unfinished_executions()
    for node in _folders(workspace.pipeline_root):
        for kind in _folders(node / ".system"):
            yield from _entries(kind)
        for key in _folders(node):
            yield from (
                folder
                for folder in _folders(key)
                if folder.name.isdecimal() and int(folder.name) in unfinished
            )


def _folders(folder: Path) -> Iterator[Path]:
    return (p for p in _entries(folder) if p.is_dir() and not p.is_symlink())


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
