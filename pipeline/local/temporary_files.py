"""A folder for the temporary files of a run, which does not outlive it.

TensorFlow and Beam remove what they write to `TMPDIR` when their process ends, but not
when it is killed: over a year that fills a disk which no other part of a run fills.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PREFIX: Final = "two-tower-run-"


@contextlib.contextmanager
def temporary_folder() -> Iterator[tuple[Path, int]]:
    """Makes a folder that is removed at the exit, or else by a later run.

    Yields:
      The folder, and the descriptor of its lock: while this process has it open, or
      another one that inherited it, no other run removes the folder. The kernel
      releases it when they end, however they end.

    Raises:
      OSError: It cannot be made.
    """
    parent = Path(tempfile.gettempdir())
    for path in parent.glob(f"{_PREFIX}*"):
        with _lock(path) as descriptor:
            if descriptor is not None:
                shutil.rmtree(path, ignore_errors=True)
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        with _lock(path) as descriptor:
            if descriptor is None:
                continue  # another run took it for an abandoned one
            try:
                yield path, descriptor
            finally:
                shutil.rmtree(path, ignore_errors=True)
            return


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[int | None]:
    """Holds a folder of this user; yields None if there is none, or it is held."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    with contextlib.ExitStack() as stack:
        try:
            descriptor = os.open(folder, flags)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_own = os.stat(folder).st_uid == os.getuid()
        except OSError:
            is_own = False
        yield descriptor if is_own else None
