"""The identity of an exported model: a digest of what decides on its answers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Final

from trainer.errors import UserError

# Files here describe a model, and those who push it add some.
_DESCRIPTION: Final = "assets.extra"
_BLOCK: Final = 1 << 20
_DIGITS: Final = 32


def model_id(folder: str) -> str:
    """Returns 32 hexadecimal digits that two models share only if they are the same.

    Every file of the SavedModel counts, by its path and content, except those that only
    describe it: so a pushed version has the identity of the candidate that it was.

    Args:
      folder: The SavedModel, on this machine or in an object store.

    Raises:
      UserError: It cannot be read.
    """
    import tensorflow as tf

    digest = hashlib.blake2b(digest_size=_DIGITS // 2)
    try:
        for path in sorted(_files(folder)):
            with tf.io.gfile.GFile(os.path.join(folder, path), "rb") as file:
                digest.update(f"{path}\0{file.size()}\0".encode())
                while block := file.read(_BLOCK):
                    digest.update(block)
    except tf.errors.OpError as error:
        raise UserError(
            f"The model {folder} cannot be read: {error.message}",
            "Make it readable, or remove it.",
        ) from error
    return digest.hexdigest()


def _files(folder: str) -> Iterator[str]:
    """Yields the paths of the files that count, relative to the folder."""
    import tensorflow as tf

    def fail(error: Exception) -> None:
        raise error

    for root, _, names in tf.io.gfile.walk(folder, onerror=fail):
        inside = os.path.relpath(root, folder)
        if inside.split(os.sep)[0] != _DESCRIPTION:
            yield from (os.path.normpath(os.path.join(inside, name)) for name in names)
