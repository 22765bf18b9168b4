"""Runs a child process, follows its events and never leaves it behind."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final

import psutil

from pipeline.local.events import EventReader
from pipeline.runs.workspace import Run
from trainer.progress import Event

_POLL_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 5.0
_MIB: Final = 1024 * 1024
# Third-party noise ends up in the log; these keep it short and keep the run offline
# and independent of the user's own Keras settings.
_ENVIRONMENT: Final = {
    "TF_CPP_MIN_LOG_LEVEL": "1",
    "PYTHONWARNINGS": "ignore::FutureWarning",
    "PYTHONUNBUFFERED": "1",
    "PYTHONFAULTHANDLER": "1",
    "KERAS_BACKEND": "tensorflow",
    "NO_GCE_CHECK": "true",
}


class Child:
    """A child process whose output goes to the log of a run.

    Used as a context manager: whatever happens inside, the process and all of its
    children are gone afterwards.

    Attributes:
      peak_rss_mb: Largest resident memory seen so far, in MiB: the sum over the child
        and its descendants, sampled every 0.1 s, or the kernel's exact peak of the
        largest single process where that is more.
    """

    def __init__(self, command: Sequence[str], run: Run, lock: int) -> None:
        """Starts the process.

        Args:
          command: Program and arguments.
          run: Where its output goes, and where it writes its events.
          lock: File descriptor of the workspace's lock, which the child shares.
        """
        self.peak_rss_mb = 0.0
        self._events = EventReader(run.events)
        with open(run.log, "ab") as log:
            # A session of its own: Ctrl-C reaches only the parent, which then ends
            # the child together with everything that the child started.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **_ENVIRONMENT},
                pass_fds=(lock,),
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
        """Exit code of the process; negative: the signal that ended it.

        Raises:
          RuntimeError: The process still runs.
        """
        if self._process.returncode is None:
            raise RuntimeError("the child process still runs")
        return self._process.returncode

    def __enter__(self) -> Child:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the process and its children, first politely."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError):  # nobody is left
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def _sample_memory(self) -> None:
        try:
            root = psutil.Process(self._process.pid)
            processes = [root, *root.children(recursive=True)]
        except psutil.Error:
            return
        total = 0
        for process in processes:
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue  # ended since it was listed
        self.peak_rss_mb = max(self.peak_rss_mb, total / _MIB)


def explain_exit(code: int) -> tuple[str, str]:
    """Cause and remedy of a child that ended without saying why.

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
