"""The identity of an exported model: a digest of what decides on its answers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import Any, Final

from trainer.errors import UserError

# Files here describe a model, and those who push it add some.
_DESCRIPTION: Final = "assets.extra"
_BLOCK: Final = 1 << 20
_DIGITS: Final = 32


def model_id(folder: str) -> str:
    """Returns 32 hexadecimal digits that two models share only if they are the same.

    Every file of the SavedModel counts, by its path and content, except those that only
    describe it: so a pushed version has the identity of the candidate that it was.
    TensorFlow is imported for an object store only.

    Args:
      folder: The SavedModel, on this machine or in an object store.

    Raises:
      UserError: It cannot be read.
    """
    digest = hashlib.blake2b(digest_size=_DIGITS // 2)
    add = _add_stored if "://" in folder else _add_local
    try:
        add(digest, folder)
    except OSError as error:
        raise UserError(
            f"The model {folder} cannot be read: {error.strerror or error}",
            "Make it readable, or remove it.",
        ) from error
    return digest.hexdigest()


def _add_local(digest: Any, folder: str) -> None:
    """Adds the files of a folder of this machine."""
    for path in _counted(folder, os.walk(folder, onerror=_fail, followlinks=True)):
        with open(os.path.join(folder, path), "rb") as file:
            _add_file(digest, path, os.fstat(file.fileno()).st_size, file)


def _add_stored(digest: Any, folder: str) -> None:
    """Adds the files of a folder of an object store.

    Raises:
      OSError: TensorFlow cannot read it.
    """
    import tensorflow as tf

    try:
        for path in _counted(folder, tf.io.gfile.walk(folder, onerror=_fail)):
            with tf.io.gfile.GFile(os.path.join(folder, path), "rb") as file:
                _add_file(digest, path, file.size(), file)
    except tf.errors.OpError as error:
        raise OSError(error.message) from error


def _add_file(digest: Any, path: str, size: int, file: Any) -> None:
    digest.update(f"{path}\0{size}\0".encode())
    while block := file.read(_BLOCK):
        digest.update(block)


def _counted(folder: str, walk: Iterable[Any]) -> list[str]:
    """Returns the paths of the files that count, relative to the folder, sorted."""
    found = []
    for root, _, names in walk:
        inside = os.path.relpath(root, folder)
        if inside.split(os.sep)[0] != _DESCRIPTION:
            found += [os.path.normpath(os.path.join(inside, name)) for name in names]
    return sorted(found)


def _fail(error: Exception) -> None:
    raise error
