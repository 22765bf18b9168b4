"""From a checked configuration to a finished run."""

from __future__ import annotations

import importlib.metadata
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil
from rich.console import Console

from pipeline.atomic_files import write_json, write_text
from pipeline.cli.run_report import report, report_failure
from pipeline.cli.run_view import make_view
from pipeline.cli.tables import make_console
from pipeline.config import PipelineConfig
from pipeline.config.loading import dump
from pipeline.datasets.source import DataSource, resolve
from pipeline.local.subprocess_runner import Child, explain_exit
from pipeline.runs import summary as summaries
from pipeline.runs.run_state import RunState
from pipeline.runs.workspace import Run, Workspace
from trainer.errors import UserError


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for.

    Attributes:
      config: The checked configuration.
      workspace: Folder of the workspace, made where it is absent.
      data_dir: Folder with MovieLens files; None to fetch them.
      no_cache: Run every step again.
      until: Step after which the run ends; None for the whole pipeline.
    """

    config: PipelineConfig
    workspace: Path
    data_dir: Path | None
    no_cache: bool
    until: str | None = None


Reporter = Callable[[Console, summaries.Summary, Workspace, Run], None]


def run_pipeline(request: RunRequest, reporter: Reporter = report) -> int:
    """Runs the pipeline and shows it.

    Args:
      request: What is run.
      reporter: Shows the end of a run that did not fail.

    Returns:
      0, or 1 where a step failed.

    Raises:
      UserError: The workspace or the data cannot be used; no run was started.
    """
    signal.signal(signal.SIGTERM, _terminate)
    console = make_console()
    tfx_version = _tfx_version()
    workspace = Workspace.open(request.workspace, create=True)
    with workspace.lock() as lock:
        _fact(console, "Dataset", request.config.data.dataset)
        _fact(console, "Workspace", workspace.root)
        data = resolve(
            request.config.data,
            workspace,
            request.data_dir,
            say=lambda text: _fact(console, "", text),
        )
        _fact(console, "Data", f"{data.folder} ({data.origin})")
        run = workspace.new_run()
        write_text(run.config, dump(request.config))
        _fact(console, "Log", run.log)
        command = _command(request, workspace, run, data)
        dataset = request.config.data.dataset
        watch = Watch(console, workspace, run, dataset, tfx_version, reporter)
        return watch.follow(command, lock)


@dataclass(frozen=True)
class Watch:
    """Follows one run and writes its summary.

    Attributes:
      console: Where it is shown.
      workspace: Where it writes.
      run: Its files.
      dataset: What it reads.
      tfx_version: What it runs on.
      reporter: Shows the end of a run that did not fail.
    """

    console: Console
    workspace: Workspace
    run: Run
    dataset: str
    tfx_version: str
    reporter: Reporter = report

    def follow(self, command: list[str], lock: int) -> int:
        """Runs a command that emits progress events; returns the exit code."""
        state = RunState()
        child = Child(command, self.run, lock)
        try:
            with child, make_view(self.console) as view:
                for event in child.events():
                    if event is None:
                        view.tick(state)
                        continue
                    state.update(event)
                    view.show(event, state)
                if child.exit_code and not state.cause:
                    view.show(state.fail(*explain_exit(child.exit_code)), state)
        except (KeyboardInterrupt, SystemExit):
            state.fail("the run was interrupted", "Run it again: what ended is cached.")
            self._write_summary(state, child)
            raise
        summary = self._write_summary(state, child)
        if state.cause:
            report_failure(summary, self.run)
            return 1
        self.reporter(self.console, summary, self.workspace, self.run)
        return 0

    def _write_summary(self, state: RunState, child: Child) -> summaries.Summary:
        measured = summaries.Measured(
            run_id=self.run.run_id,
            dataset=self.dataset,
            tfx_version=self.tfx_version,
            # From the start of this process, as the user's clock has it.
            wall_seconds=time.time() - psutil.Process().create_time(),
            peak_rss_mb=child.peak_rss_mb,
        )
        summary = summaries.build(measured, state)
        write_json(self.run.summary, summary.as_json())
        self.workspace.publish(self.run)
        return summary


def _tfx_version() -> str:
    """Found out without importing it; fails before anything is made."""
    try:
        return importlib.metadata.version("tfx")
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(
            f"TFX is not installed for {sys.executable}",
            "Run `make setup`, or use .venv/bin/two-tower.",
        ) from error


def _command(
    request: RunRequest, workspace: Workspace, run: Run, data: DataSource
) -> list[str]:
    """The child process that runs the pipeline."""
    return [
        *(sys.executable, "-m", "pipeline.local_runner"),
        *("--workspace", str(workspace.root), "--run-id", run.run_id),
        *("--input-base", str(data.folder)),
        *("--content-fingerprint", data.fingerprint),
        *(["--no-cache"] if request.no_cache else []),
        *(["--until", request.until] if request.until else []),
    ]


def _fact(console: Console, label: str, value: object) -> None:
    console.print(f"{label:<10}{value}", soft_wrap=True, markup=False)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Lets `kill` clean up as Ctrl-C does."""
    raise SystemExit(128 + number)
