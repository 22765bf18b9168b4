"""Copies a model to a new version: durable and complete before it is visible."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from components import storage
from components.serving_directory import (
    LARGEST_VERSION,
    STAGING_PREFIX,
    missing_file,
    versions,
    withdrawn_versions,
)
from components.serving_directory.folders import copy_folder
from trainer.atomic_files import sync, sync_tree
from trainer.errors import UserError

# What renaming a folder fails with where its new name is taken.
_TAKEN: Final = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
# Of a file system without locks; the last by NFS, which locks no folder.
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)


def push_version(model_path: str, base_directory: str) -> str:
    """Copies a model into a new version folder.

    On a file system it is copied to a folder beside, flushed to the disk and renamed.
    An object store cannot rename: there `saved_model.pb` is copied last, without which
    no version counts, and what says whose copy it is first.

    Args:
      model_path: Folder of the SavedModel.
      base_directory: Folder of all versions.

    Returns:
      The version's folder. Its name is the time in seconds since the epoch, as in TFX,
      or one more than the newest version where that is not older.

    Raises:
      UserError: The folder cannot be read or written, or the newest version has the
        largest number that there is.
    """
    if not storage.is_local(base_directory):
        path = os.path.join(base_directory, str(_next_version(base_directory)))
        _copy(model_path, path)
        return path
    try:
        os.makedirs(base_directory, exist_ok=True)
        with _staging(base_directory) as staging:
            _copy(model_path, staging)
            sync_tree(Path(staging))
            path = _rename(staging, base_directory)
            sync(Path(base_directory))
    except OSError as error:
        raise UserError(
            f"The model cannot be pushed to {base_directory}: {error.strerror}",
            "Make it a folder that can be written, with space for the model.",
        ) from error
    return path


def abandoned(base_directory: str, *, remove: bool) -> list[str]:
    """Lists or removes what killed pushes left behind, not those that go on.

    Args:
      base_directory: Folder of all versions.
      remove: Whether to remove it.

    Returns:
      The paths that are there, or that were removed.
    """
    found = []
    for name in storage.names(base_directory) or ():
        path = os.path.join(base_directory, name)
        if name.startswith(STAGING_PREFIX):
            # Nobody can have the lock of a process that has ended.
            with contextlib.suppress(OSError), _locked(path):
                if remove:
                    shutil.rmtree(path)
                found.append(path)
    return found


@contextlib.contextmanager
def _staging(base_directory: str) -> Iterator[str]:
    """Makes a folder that is locked while this process lives, and removed if it fails.

    The kernel releases the lock when the process ends, however it ends.
    """
    while True:
        name = f"{STAGING_PREFIX}{secrets.token_hex(8)}"
        path = os.path.join(base_directory, name)
        os.mkdir(path)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(_locked(path))
            except (BlockingIOError, FileNotFoundError):
                continue  # `abandoned` was faster
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)
            return


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Holds the lock of a folder.

    Raises:
      BlockingIOError: Another process holds it.
      FileNotFoundError: There is no such folder any more.
      OSError: The file system has no locks.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.stat(folder)
        yield
    finally:
        os.close(descriptor)


def _rename(staging: str, base_directory: str) -> str:
    """Gives the folder the first version name that is free."""
    version = 0
    while True:
        version = max(version + 1, _next_version(base_directory))
        path = os.path.join(base_directory, str(version))
        try:
            # Fails if another push took the name: only an empty folder is replaced.
            os.rename(staging, path)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        else:
            return path


def _next_version(base_directory: str) -> int:
    # Above those that were withdrawn too, so that each can be restored.
    names = [*versions(base_directory), *withdrawn_versions(base_directory)]
    found = [int(name) for name in names]
    number = max([int(time.time()), *(version + 1 for version in found)])
    if number > LARGEST_VERSION:
        raise UserError(
            f"{base_directory} has version {number - 1}, the largest that there can be",
            "Remove it, or give it a smaller number.",
        )
    return number


def _copy(source: str, target: str) -> None:
    """Copies a model.

    Raises:
      UserError: A file cannot be copied, or the model is not complete.
    """
    copy_folder(source, target)
    if missing := missing_file(target):
        raise UserError(
            f"The model {source} is not complete: it has no {missing}",
            "Run it again with --no-cache, which trains it again.",
        )
