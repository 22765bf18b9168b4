"""A command that is held at a moment, then killed or let go."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

_SOURCES: Final = Path(__file__).resolve().parents[2]
_HOOK: Final = Path(__file__).parent / "hook"
_POLL_SECONDS: Final = 0.02


class HeldCommand:
    """`two-tower` with arguments, in a session of its own.

    Attributes:
      output: File with what it prints.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        temp: Path,
        hold: Mapping[str, Any] | None = None,
    ) -> None:
        """Starts it.

        Args:
          arguments: Of `two-tower`.
          folder: For its output and the files of the hook; emptied first.
          temp: Its `TMPDIR`.
          hold: When to hold it, see `hook/sitecustomize.py`; None for never.
        """
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder
        self.output = folder / "output"
        environment = dict(os.environ, TMPDIR=str(temp))
        paths = [str(_SOURCES)]
        if hold:
            paths.insert(0, str(_HOOK))
            environment["HOLD_AT"] = json.dumps({"folder": str(folder), **hold})
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        with open(self.output, "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )

    def wait_until_held(self) -> bool:
        """Returns whether the moment came; if not, the command has ended."""
        held = self._folder / "held"
        while not held.exists():
            if self._process.poll() is not None:
                return held.exists()
            time.sleep(_POLL_SECONDS)
        return True

    def go_on(self, seconds: float = 0) -> None:
        """Lets it go on, and returns after some seconds or when it has ended."""
        (self._folder / "go").touch()
        if seconds:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)

    def kill(self, *, pipeline_only: bool = False) -> list[int]:
        """Kills the command with all that it started, or only the pipeline's process.

        Returns:
          Processes that still run 5 seconds later.
        """
        root = psutil.Process(self._process.pid)
        children = root.children(recursive=True)
        if pipeline_only:
            runner = int((self._folder / "held").read_text())
            os.kill(runner, signal.SIGKILL)
            self._process.wait()
        else:
            for process in [root, *children]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.wait()
        _, alive = psutil.wait_procs(children, timeout=5)
        return [process.pid for process in alive if process.is_running()]

    def wait(self) -> int:
        """Waits for its end; returns its exit code."""
        return self._process.wait()

    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text(encoding="utf-8", errors="replace")
