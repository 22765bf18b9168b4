"""Files that are never half-written, and survive a power cut once they are visible.

A file is written under a name that nobody can guess, made exclusively so that no link
is followed, flushed to the disk, and only then renamed. What a killed process leaves
begins with `PART_PREFIX`.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

PART_PREFIX: Final = ".part-"


def write_json(path: Path, content: Any) -> None:
    """Writes JSON so that `path` is either absent, the old or the whole new file."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, content: str) -> None:
    """Writes text so that `path` is either absent, the old or the whole new file."""
    write_bytes(path, content.encode())


def write_bytes(path: Path, content: bytes, mode: int | None = None) -> None:
    """Writes bytes so that `path` is either absent, the old or the whole new file.

    What is no regular file, such as `/dev/stdout`, is written to and not replaced.

    Args:
      path: The file.
      content: What it will hold.
      mode: Its permissions; by default those that the umask leaves.

    Raises:
      OSError: It cannot be written.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    part = part_name(path.parent)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(part, flags, 0o666), "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write_link(path: Path, target: str) -> None:
    """Makes `path` a symbolic link, in place of the link that is there."""
    part = part_name(path.parent)
    try:
        part.symlink_to(target)
        part.replace(path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def part_name(folder: Path) -> Path:
    """Returns a name in a folder that cannot be guessed, for what is not complete."""
    return folder / f"{PART_PREFIX}{secrets.token_hex(8)}"


def sync(path: Path) -> None:
    """Flushes a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise  # some network file systems cannot flush a folder
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flushes a folder to the disk with all that is in it, links excepted."""
    for path in _tree(folder):
        sync(path)


def _tree(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder, topdown=False):
        files = (Path(root, name) for name in names)
        yield from (file for file in files if file.is_file() and not file.is_symlink())
        yield Path(root)
