"""One local run: lock the workspace, start the subprocess, follow it, summarise it."""

from __future__ import annotations

import importlib.metadata
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn, Protocol

import psutil

from pipeline.atomic_files import write_json, write_text
from pipeline.config import PipelineConfig
from pipeline.config.loading import dump
from pipeline.datasets.source import DataSource, resolve
from pipeline.local.live_run import LiveRun
from pipeline.local.subprocess_runner import SubprocessRunner, explain_exit
from pipeline.runs import summary as summaries
from pipeline.runs.summary import Summary
from pipeline.runs.workspace import RunFiles, Workspace
from trainer.errors import UserError
from trainer.progress import Event


class RunObserver(Protocol):
    """Shows a run; its context is entered while the subprocess runs."""

    def fact(self, label: str, value: object) -> None:
        """Shows a line about the run before it starts."""

    def show(self, event: Event, run: LiveRun) -> None:
        """Shows an event, which `run` already reflects."""

    def tick(self, run: LiveRun) -> None:
        """Called about ten times a second."""

    def __enter__(self) -> object:
        """Called when the subprocess has started."""

    def __exit__(self, *error: object) -> None:
        """Called when it has ended."""


@dataclass(frozen=True)
class RunRequest:
    """What to run.

    Attributes:
      config: The checked configuration.
      workspace: Folder of the workspace, created if it is absent.
      data_dir: Folder with MovieLens files; None to fetch them.
      no_cache: Run every step, also those whose inputs did not change.
      until: Step after which the run ends; None for the whole pipeline.
    """

    config: PipelineConfig
    workspace: Path
    data_dir: Path | None
    no_cache: bool
    until: str | None = None


@dataclass(frozen=True)
class FinishedRun:
    """The outcome of a run.

    Attributes:
      summary: What is in `summary.json`.
      workspace: Where it ran.
      files: Its files there.
    """

    summary: Summary
    workspace: Workspace
    files: RunFiles


def run_pipeline(request: RunRequest, observer: RunObserver) -> FinishedRun:
    """Runs the pipeline.

    Args:
      request: What to run.
      observer: Shows it.

    Raises:
      UserError: The workspace or the data cannot be used; no run was started.
    """
    signal.signal(signal.SIGTERM, _terminate)
    tfx_version = _tfx_version()
    workspace = Workspace.open(request.workspace, create=True)
    data_config = request.config.data
    with workspace.lock() as lock:
        observer.fact("Dataset", data_config.dataset)
        observer.fact("Workspace", workspace.root)
        data = resolve(
            data_config,
            workspace,
            request.data_dir,
            report=lambda text: observer.fact("", text),
        )
        observer.fact("Data", f"{data.folder} ({data.origin})")
        files = workspace.new_run()
        write_text(files.config, dump(request.config))
        observer.fact("Log", files.log)
        session = Session(workspace, files, data_config.dataset, tfx_version)
        return session.follow(_command(request, session, data), lock, observer)


@dataclass(frozen=True)
class Session:
    """Follows one run and writes its summary.

    Attributes:
      workspace: Where it runs.
      files: Its files there.
      dataset: MovieLens edition that it reads.
      tfx_version: Version of TFX.
    """

    workspace: Workspace
    files: RunFiles
    dataset: str
    tfx_version: str

    def follow(
        self, command: Sequence[str], lock: int, observer: RunObserver
    ) -> FinishedRun:
        """Runs a command that writes progress events, to its end.

        Args:
          command: Program and arguments.
          lock: File descriptor of the workspace's lock.
          observer: Shows the run.
        """
        run = LiveRun(self.files.run_id)
        process = SubprocessRunner(command, self.files, lock)
        try:
            with process, observer:
                for event in process.events():
                    if event is None:
                        observer.tick(run)
                    else:
                        run.update(event)
                        observer.show(event, run)
                if process.exit_code and not run.cause:
                    event = run.fail(*explain_exit(process.exit_code))
                    observer.show(event, run)
        except (KeyboardInterrupt, SystemExit):
            run.fail("the run was interrupted", "Run it again: what ended is cached.")
            self._finish(run, process)
            raise
        return self._finish(run, process)

    def _finish(self, run: LiveRun, process: SubprocessRunner) -> FinishedRun:
        summary = summaries.build(
            run,
            run.error,
            dataset=self.dataset,
            tfx_version=self.tfx_version,
            # Since the start of this process, so that it is what the user waited.
            wall_seconds=time.time() - psutil.Process().create_time(),
            peak_rss_mb=process.peak_rss_mb,
        )
        write_json(self.files.summary, summary.as_json())
        self.workspace.publish(self.files)
        return FinishedRun(summary, self.workspace, self.files)


def _tfx_version() -> str:
    """Version of TFX, read without importing it.

    Raises:
      UserError: TFX is not installed.
    """
    try:
        return importlib.metadata.version("tfx")
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(
            f"TFX is not installed for {sys.executable}",
            "Run `make setup`, or use .venv/bin/two-tower.",
        ) from error


def _command(request: RunRequest, session: Session, data: DataSource) -> list[str]:
    """The subprocess that runs the pipeline."""
    return [
        *(sys.executable, "-m", "pipeline.local_runner"),
        *("--workspace", str(session.workspace.root)),
        *("--run-id", session.files.run_id),
        *("--input-base", str(data.folder)),
        *("--content-fingerprint", data.fingerprint),
        *(["--no-cache"] if request.no_cache else []),
        *(["--until", request.until] if request.until else []),
    ]


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Makes SIGTERM clean up as Ctrl-C does."""
    raise SystemExit(128 + number)
