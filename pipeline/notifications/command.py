"""A command of the user's, which gets the outcome as JSON."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Final

from pipeline.notifications.delivery import NotDeliveredError

_MAX_ERRORS: Final = 2000  # bytes of standard error that are kept, the last ones
_READER_SECONDS: Final = 0.2
_STARTING_SECONDS: Final = 1.0


class Command:
    """Starts a program once; `kill` ends it with the processes that it started."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Makes it; nothing is started yet.

        Args:
          argv: Program and arguments; no shell reads them.
          env: Variables beside those of this process.
        """
        self._argv = list(argv)
        self._env = {**os.environ, **env}
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._killed = False

    def run(self, text: str, seconds: float) -> str:
        """Runs it with a text on its standard input.

        Its output is thrown away, and of standard error the end is kept for the reason.

        Raises:
          NotDeliveredError: It cannot be started, failed or took too long.
        """
        process = self._started(text)
        errors = _Tail(process.stderr)
        try:
            code = process.wait(timeout=max(seconds, 0.001))
        except subprocess.TimeoutExpired as error:
            raise NotDeliveredError(
                f"killed: no end within its time{errors.text()}"
            ) from error
        finally:
            if process.poll() is None:
                self.kill()
        if code:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise NotDeliveredError(f"{how}{errors.text()}")
        return "exit code 0"

    def _started(self, text: str) -> subprocess.Popen[bytes]:
        with tempfile.TemporaryFile() as given, self._starting:
            # A file: a pipe that nobody reads would block us.
            given.write(text.encode())
            given.seek(0)
            if self._killed:
                raise NotDeliveredError("interrupted")
            try:
                process = subprocess.Popen(
                    self._argv,
                    stdin=given,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=self._env,
                    start_new_session=True,  # a process group of its own
                )
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or "a bad argument"
                raise NotDeliveredError(f"cannot be started: {reason}") from error
            self._process = process
        return process

    def kill(self) -> None:
        """Kills the process group, if it has not ended; it is not started any more."""
        self._killed = True
        # One that is being started is known a moment later.
        if self._starting.acquire(timeout=_STARTING_SECONDS):
            self._starting.release()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1.0)


class _Tail:
    """Reads a stream to its end, in a thread, and keeps the last bytes."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._kept = b""
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[bytes] | None) -> None:
        if stream is None:
            return
        with stream, contextlib.suppress(OSError, ValueError):
            while chunk := os.read(stream.fileno(), 1 << 16):
                self._kept = (self._kept + chunk)[-_MAX_ERRORS:]

    def text(self) -> str:
        """The last line, with a colon before it; empty if there is none."""
        # A process that it has left behind may hold the stream open.
        self._thread.join(_READER_SECONDS)
        lines = self._kept.decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""
