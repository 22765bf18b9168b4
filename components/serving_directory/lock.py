"""The lock of a serving directory: one push, rollback or removal at a time.

An object store has no locks; there, a version that is being pushed is not complete.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from typing import Final, TextIO

from components import storage
from components.serving_directory.layout import LOCK_FILE
from trainer.errors import UserError

PUSH_WAIT_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 0.1
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_LOG: Final = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(serving_dir: str, purpose: str, wait_seconds: float = 0) -> Iterator[None]:
    """Holds a serving directory, which is made if it is not there.

    The kernel releases the lock when the process ends, however it ends.

    Args:
      serving_dir: The serving directory.
      purpose: What for, such as "a push", for those who find it held.
      wait_seconds: How long to wait for another process.

    Raises:
      UserError: Another process holds it, or it cannot be written.
    """
    if not storage.is_local(serving_dir):
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            os.makedirs(serving_dir, exist_ok=True)
            path = os.path.join(serving_dir, LOCK_FILE)
            file = stack.enter_context(open(path, "a+", encoding="utf-8"))
            _acquire(file, serving_dir, wait_seconds)
        except OSError as error:
            raise UserError(
                f"{serving_dir} cannot be changed: {error.strerror}",
                "Make it a folder that can be written.",
            ) from error
        with contextlib.suppress(OSError):  # the disk is full: nobody needs to know
            file.truncate(0)
            now = datetime.datetime.now(datetime.timezone.utc)
            file.write(f"{purpose} (process {os.getpid()}, since {now:%F %T} UTC)")
            file.flush()
        yield


def _acquire(file: TextIO, serving_dir: str, wait_seconds: float) -> None:
    end = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                file.seek(0)
                owner = file.read().strip() or "another process"
                raise UserError(
                    f"{serving_dir} is being changed by {owner}",
                    "Try again when that has ended.",
                ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            _LOG.warning("The file system of %s has no locks.", serving_dir)
            return
        time.sleep(_POLL_SECONDS)
