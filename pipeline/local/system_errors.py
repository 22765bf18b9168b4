"""Errors of the operating system, as one line: where, why, and what to do.

A full disk comes in many shapes: as an `OSError` with or without a file's name, as the
text of one in a worker's traceback, as SQLite's or TensorFlow's own error.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from trainer.errors import UserError
from trainer.text import escaped

_MB: Final = 1_000_000
# Below this the little that a step writes last, such as its log, fails too.
_NO_SPACE: Final = 1 * _MB
_LITTLE: Final = 100 * _MB
_FULL: Final = re.compile(
    r"No space left on device|Disk quota exceeded|database or disk is full"
)
_FULL_CODES: Final = (errno.ENOSPC, errno.EDQUOT)
_REMEDIES: Final = {
    errno.EACCES: "Change its permissions, or choose another path.",
    errno.EPERM: "Change its permissions, or choose another path.",
    errno.EROFS: "Choose a path on a file system that can be written.",
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path.",
    errno.EISDIR: "Name a file, not a folder.",
    errno.ENAMETOOLONG: "Choose a shorter path.",
    errno.EMFILE: "Raise the limit of open files with `ulimit -n`.",
    errno.ENFILE: "Close other programs.",
    errno.ENOMEM: "Close other programs, or lower train.batch_size with --set.",
    errno.EIO: "Check the disk and its mount.",
    errno.ESTALE: "Mount the file system again.",
}
_OTHER_REMEDY: Final = "Check the path and its file system."


def explain_system_error(
    error: BaseException, folders: Iterable[Path] = ()
) -> UserError | None:
    """Explains an error whose cause is this machine.

    Args:
      error: Any exception.
      folders: Folders that may have been written to, if the error names no file.

    Returns:
      None if the error is not the operating system's.
    """
    named = _named_paths(error)
    code = error.errno if isinstance(error, OSError) else None
    if code in _FULL_CODES or names_full_disk(str(error)):
        return full_disk([*named, *folders])
    if isinstance(error, MemoryError):
        return UserError(
            "There is not enough memory",
            "Close other programs, or lower train.batch_size with --set.",
        )
    # Others, such as a refused connection, are of their library's own kind.
    if not isinstance(error, OSError) or not (named or code in _REMEDIES):
        return None
    where = f"{escaped(str(named[0]))}: " if named else ""
    remedy = _REMEDIES.get(code or 0, _OTHER_REMEDY)
    return UserError(f"{where}{error.strerror or error}", remedy)


def names_full_disk(text: str) -> bool:
    """Whether a message says that a disk is full."""
    return _FULL.search(text) is not None


def full_disk(folders: Iterable[Path]) -> UserError:
    """Says which file system is full.

    Args:
      folders: What may have been written to; of these the one with the least space.
    """
    known = [_existing(path) for path in folders]
    folder = min(known or [Path(tempfile.gettempdir())], key=_free)
    usage = shutil.disk_usage(folder)
    free = f"{usage.free / _MB:,.1f} of {usage.total / _MB:,.1f} MB are free"
    if usage.free > _LITTLE:
        free += ", so a quota or the number of its files is exhausted"
    return UserError(
        f"No space is left on the file system {_mount(folder)} of {folder}: {free}",
        "Free some space there (a run on MovieLens-100K writes 30 MB, more ratings "
        "need more), or choose another path.",
    )


def is_full(folder: Path) -> bool:
    """Whether nothing can be written to the file system of a folder any more."""
    return _free(_existing(folder)) < _NO_SPACE


def _named_paths(error: BaseException) -> list[Path]:
    if not isinstance(error, OSError):
        return []
    names = (error.filename, error.filename2)
    return [Path(os.fsdecode(name)) for name in names if isinstance(name, str | bytes)]


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _mount(folder: Path) -> Path:
    """Where the file system of a folder is mounted."""
    folder = folder.resolve()
    while not folder.is_mount():
        folder = folder.parent
    return folder
