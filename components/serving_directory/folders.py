"""Copies and moves the folder of a version so that it is never seen half."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from components import storage
from components.serving_directory.layout import PUSH_FILE, REMOVING_PREFIX
from trainer.atomic_files import part_name, sync
from trainer.errors import UserError

# Without it no version counts.
_LAST: Final = "saved_model.pb"


def copy_folder(source: str, target: str) -> None:
    """Copies a folder, the file without which it is incomplete last.

    The first is `push.json`, which says whose copy it is. TensorFlow is imported where
    one of them is in an object store.

    Raises:
      UserError: A file cannot be copied.
    """
    copy = (
        _copy_local
        if storage.is_local(source) and storage.is_local(target)
        else _copy_stored
    )
    try:
        copy(source, target)
    except OSError as error:
        raise UserError(
            f"The model {source} cannot be copied to {target}: "
            f"{error.strerror or error}",
            "Check that both can be read and written, and that there is space.",
        ) from error


def _copy_local(source: str, target: str) -> None:
    files = []
    for root, _, names in os.walk(source, onerror=_fail, followlinks=True):
        inside = os.path.relpath(root, source)
        os.makedirs(os.path.join(target, inside), exist_ok=True)
        files += [os.path.normpath(os.path.join(inside, name)) for name in names]
    for name in _in_order(files):
        shutil.copyfile(os.path.join(source, name), os.path.join(target, name))


def _copy_stored(source: str, target: str) -> None:
    import tensorflow as tf

    files = []
    try:
        for root, _, names in tf.io.gfile.walk(source, onerror=_fail):
            inside = os.path.relpath(root, source)
            tf.io.gfile.makedirs(os.path.join(target, inside).removesuffix("/."))
            files += [os.path.normpath(os.path.join(inside, name)) for name in names]
        for name in _in_order(files):
            paths = os.path.join(source, name), os.path.join(target, name)
            tf.io.gfile.copy(*paths, overwrite=True)
    except tf.errors.OpError as error:
        raise OSError(error.message) from error


def _in_order(files: Iterable[str]) -> list[str]:
    return sorted(files, key=lambda name: (name == _LAST, name != PUSH_FILE))


def _fail(error: Exception) -> None:
    raise error


def move_folder(source: str, target: str) -> None:
    """Moves a version within its serving directory, over what has the new name.

    On a file system it is renamed. An object store cannot do that: there it is copied
    and then removed, the file without which it is incomplete first.

    Raises:
      UserError: It cannot be moved.
    """
    if not storage.is_local(source):
        copy_folder(source, target)
        remove_stored(source)
        return
    try:
        parent = Path(target).parent
        if os.path.lexists(target):
            hidden = f"{REMOVING_PREFIX}{part_name(parent).name}"
            os.rename(target, parent / hidden)
            shutil.rmtree(parent / hidden, ignore_errors=True)
        os.rename(source, target)
        sync(parent)
    except OSError as error:
        raise UserError(
            f"{source} cannot be renamed to {target}: {error.strerror}",
            "Make the serving directory a folder that can be written.",
        ) from error


def remove_stored(folder: str) -> None:
    """Removes a version from an object store, where no part of it counts at any time.

    Raises:
      UserError: It cannot be removed.
    """
    import tensorflow as tf

    try:
        model = os.path.join(folder, _LAST)
        if tf.io.gfile.exists(model):
            tf.io.gfile.remove(model)
        tf.io.gfile.rmtree(folder)
    except tf.errors.OpError as error:
        raise UserError(
            f"{folder} cannot be removed: {error.message}",
            "Check that the store can be written, and do it again.",
        ) from error
