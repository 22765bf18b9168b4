"""Reads files and folders that may be absent, but not unreadable.

For a serving directory, "not found" means that nothing was pushed yet. No other failure
may look like it: what cannot be read ends the run with one line that says so. Paths of
this machine need no TensorFlow, so that the command line can use these functions too.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.atomic_files import write_bytes
from trainer.errors import UserError


def is_local(path: str) -> bool:
    """Returns whether a path is one of this machine, and not of an object store."""
    return "://" not in path


def names(folder: str) -> list[str] | None:
    """Returns the names in a folder; None if there is no such folder.

    Raises:
      UserError: It is not a folder, or cannot be read.
    """
    found: list[str] | None = None
    with _absent_or_readable(folder):
        if is_local(folder):
            found = os.listdir(folder)
        else:
            gfile = _gfile()
            if not gfile.stat(folder).is_directory:
                raise NotADirectoryError(20, os.strerror(20))
            # Object stores name folders with a trailing slash, and list the folder.
            found = [name.rstrip("/") for name in gfile.listdir(folder)]
    return None if found is None else sorted(filter(None, found))


def is_folder(path: str) -> bool:
    """Returns whether a path is a folder, or a link to one.

    Raises:
      UserError: That cannot be found out.
    """
    result = False
    with _absent_or_readable(path):
        if is_local(path):
            result = stat.S_ISDIR(os.stat(path).st_mode)
        else:
            result = _gfile().stat(path).is_directory
    return result


def size(path: str) -> int:
    """Returns the size of a file in bytes; 0 if there is none.

    Raises:
      UserError: That cannot be found out.
    """
    result = 0
    with _absent_or_readable(path):
        if is_local(path):
            result = os.stat(path).st_size
        else:
            result = _gfile().stat(path).length
    return result


def read(path: str, start: int = 0, count: int = -1) -> bytes | None:
    """Returns the content of a file; None if there is none.

    Args:
      path: The file.
      start: Where to begin, in bytes.
      count: How many bytes to read at most; -1 for all that follow.

    Raises:
      UserError: It cannot be read.
    """
    content: bytes | None = None
    with _absent_or_readable(path):
        if is_local(path):
            opened: Any = open(path, "rb")
        else:
            opened = _gfile().GFile(path, "rb")
        with opened as file:
            file.seek(start)
            content = file.read(count)
    return content


def write(path: str, content: bytes) -> None:
    """Writes a whole file, and its folder if there is none.

    An object store shows an object only when it is complete, as a renamed file is.
    """
    if is_local(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_bytes(Path(path), content)
    else:
        with _gfile().GFile(path, "wb") as file:
            file.write(content)


@contextlib.contextmanager
def _absent_or_readable(path: str) -> Iterator[None]:
    """Ends the block if there is no such path; fails if there is any other reason."""
    try:
        yield
    except FileNotFoundError:
        if os.path.islink(path):
            raise UserError(
                f"{path} is a link to {os.readlink(path)}, which does not exist",
                "Restore what it points to, or remove the link.",
            ) from None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except Exception as error:
        if is_local(path) or not _is_of_tensorflow(error):
            raise
        if type(error).__name__ != "NotFoundError":
            raise _unreadable(path, str(error).split("\n", maxsplit=1)[0]) from error


def _unreadable(path: str, cause: str) -> UserError:
    return UserError(
        f"{path} cannot be read: {cause}",
        "Make it readable: only what is not there at all counts as not there.",
    )


def _is_of_tensorflow(error: Exception) -> bool:
    import tensorflow as tf

    return isinstance(error, tf.errors.OpError)


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile
