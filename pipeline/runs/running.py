"""Which run goes on now.

The subprocess of a run inherits the lock of its log, which the kernel releases when the
last process of the run has ended, however it ended. No file needs to be written, or can
be left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
from typing import IO, Any

from pipeline.runs.workspace import RunFiles, Workspace


def hold(log: IO[Any]) -> None:
    """Locks the open log of a run, for this process and those that inherit it."""
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(log, fcntl.LOCK_EX)


def is_running(files: RunFiles) -> bool:
    """Whether a process of a run holds its log."""
    try:
        with open(files.log, "rb") as log:
            fcntl.flock(log, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def running_run(workspace: Workspace) -> RunFiles | None:
    """The run that goes on in a workspace; None if there is none."""
    folders = workspace.runs_dir.glob("[!.]*")
    found = sorted((path for path in folders if not path.is_symlink()), reverse=True)
    return next((run for run in map(RunFiles, found) if is_running(run)), None)
