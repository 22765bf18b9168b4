"""Runs a subprocess, follows its events and never leaves it behind."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Final

import psutil

from pipeline.local.events import EventReader
from pipeline.local.temporary_files import temporary_folder
from pipeline.runs.running import hold
from pipeline.runs.workspace import RunFiles
from trainer.progress import Event

_POLL_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 5.0
_MIB: Final = 1024 * 1024
# These keep the log short, and the run offline and independent of the user's own Keras
# settings.
_ENVIRONMENT: Final = {
    "TF_CPP_MIN_LOG_LEVEL": "1",
    "PYTHONWARNINGS": "ignore::FutureWarning",
    "PYTHONUNBUFFERED": "1",
    "PYTHONFAULTHANDLER": "1",
    "KERAS_BACKEND": "tensorflow",
    "NO_GCE_CHECK": "true",
}


class SubprocessRunner:
    """A subprocess whose output goes to the log of a run.

    As a context manager it ends the process and all of its children at the exit.

    Attributes:
      peak_rss_mb: Peak resident memory so far, in MiB: the sum over the process and its
        descendants, sampled every 0.1 s, or the kernel's exact peak of the largest
        single process if that is more.
      step_rss_mb: Step that runs -> the sampled peak since it was entered here.
    """

    def __init__(self, command: Sequence[str], files: RunFiles, lock: int) -> None:
        """Starts the process.

        Args:
          command: Program and arguments.
          files: Where its output goes, and where it writes its events.
          lock: File descriptor of the workspace's lock, which it inherits.
        """
        self.peak_rss_mb = 0.0
        self.step_rss_mb: dict[str, float] = {}
        self._events = EventReader(files.events)
        self._held = contextlib.ExitStack()
        temporary, descriptor = self._held.enter_context(temporary_folder())
        with open(files.log, "ab") as log:
            hold(log)
            # A session of its own: Ctrl-C reaches only this process, which then ends
            # the subprocess together with everything that it started.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **_ENVIRONMENT, "TMPDIR": str(temporary)},
                pass_fds=(lock, descriptor),
                start_new_session=True,
            )

    def events(self) -> Iterator[Event | None]:
        """Yields events until the process has ended, and None while there is none."""
        while True:
            ended = self._process.poll() is not None
            yield from self._events.read()
            if ended:
                break
            self._sample_memory()
            yield None
            time.sleep(_POLL_SECONDS)
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        self.peak_rss_mb = max(self.peak_rss_mb, largest)

    @property
    def exit_code(self) -> int:
        """Waits for the process; returns its exit code, negative for a signal."""
        return self._process.wait()

    def __enter__(self) -> SubprocessRunner:
        """Returns itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the process and its children: SIGTERM first, then SIGKILL."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError):  # all have ended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._held.close()

    def _sample_memory(self) -> None:
        try:
            root = psutil.Process(self._process.pid)
            processes = [root, *root.children(recursive=True)]
        except psutil.Error:
            return
        total = 0.0
        for process in processes:
            try:
                total += process.memory_info().rss / _MIB
            except psutil.Error:
                continue  # ended since it was listed
        self.peak_rss_mb = max(self.peak_rss_mb, total)
        for step, peak in self.step_rss_mb.items():
            self.step_rss_mb[step] = max(peak, total)


def explain_exit(code: int) -> tuple[str, str]:
    """Cause and remedy for a subprocess that ended without an error event.

    Args:
      code: Its exit code; negative for a signal.
    """
    if code == -signal.SIGKILL:
        return (
            "the run was killed by the system, as happens when memory runs out",
            "Free some memory, or lower train.batch_size with --set.",
        )
    if code < 0:
        name = signal.Signals(-code).name
        return f"the run was ended by {name}", "The end of the log shows where."
    return f"the run ended with exit code {code}", "The end of the log shows why."
