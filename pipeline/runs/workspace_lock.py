"""The lock of a workspace: one command at a time, and who it is.

The kernel releases the lock when the last process that holds it ends, however it ends.
The file says whose it is, for those who are refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from trainer.errors import UserError

Report = Callable[[str], None]

LOCK_FILE: Final = ".lock"
_POLL_SECONDS: Final = 0.25
# For the subprocess of a command that was killed, which ends by itself.
_GRACE_SECONDS: Final = 2.0


class LockedError(UserError):
    """Another command is using a workspace: to be tried again later."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


@dataclass(frozen=True)
class Owner:
    """Who holds a lock.

    Attributes:
      pid: Its process; None if the file does not say so.
      command: Its command line; empty if not known.
      since: Unix time at which it got the lock; None if not known.
    """

    pid: int | None = None
    command: str = ""
    since: float | None = None

    def __str__(self) -> str:
        """Process, age and command."""
        text = f"process {self.pid or 'unknown'}"
        if self.since is not None:
            # A clock that was set back gives no negative age.
            text += f", for {duration(max(time.time() - self.since, 0))}"
        return f"{text}: {self.command}" if self.command else text

    @property
    def is_gone(self) -> bool:
        """Whether its process is known to have ended; others may hold the lock."""
        if self.pid is None:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


@contextlib.contextmanager
def locked(
    root: Path, *, wait: float = 0, report: Report | None = None
) -> Iterator[int]:
    """Holds a workspace for one command.

    Args:
      root: Folder of the workspace.
      wait: Seconds to wait for another command; infinity for as long as it takes.
      report: Called once with whom this waits for.

    Yields:
      The lock's file descriptor. A subprocess that inherits it keeps the lock until it
      ends, even if its parent was killed.

    Raises:
      LockedError: Another command holds it.
      UserError: The file system has no locks.
    """
    with open(root / LOCK_FILE, "a+", encoding="utf-8", errors="replace") as file:
        start = time.monotonic()
        while not _try_lock(file, root):
            owner = _read(file)
            waited = time.monotonic() - start
            if waited >= max(wait, _GRACE_SECONDS if owner.is_gone else 0):
                raise _busy(root, owner, waited)
            if report is not None and wait:
                report(f"Waiting for another command ({owner})")
                report = None
            time.sleep(_POLL_SECONDS)
        _write(file)
        yield file.fileno()


def duration(seconds: float) -> str:
    """Formats a duration in its largest unit and the next, such as `2 h 5 min`."""
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    minutes = math.floor(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown[:2])


def _try_lock(file: IO[str], root: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(
            f"The file system of {root} has no file locks: {error.strerror}",
            "Choose a folder on a local file system with --workspace.",
        ) from error
    return True


def _busy(root: Path, owner: Owner, waited: float) -> LockedError:
    after = f" still, after {duration(waited)}" if waited >= 1 else ""
    return LockedError(
        f"Another run ({owner}) is using the workspace {root}{after}",
        "Wait until it ends, or choose another folder with --workspace.",
    )


def _read(file: IO[str]) -> Owner:
    file.seek(0)
    try:
        content = json.loads(file.read())
        if isinstance(content, int):  # by an older version
            return Owner(content)
        return Owner(
            int(content["pid"]), str(content["command"]), float(content["since"])
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return Owner()


def _write(file: IO[str]) -> None:
    from pipeline.secret_text import redacted

    command = redacted(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))
    content = {"pid": os.getpid(), "command": command, "since": time.time()}
    with contextlib.suppress(OSError):  # a full disk, which `two-tower clean` may free
        file.truncate(0)
        os.write(file.fileno(), json.dumps(content).encode())
