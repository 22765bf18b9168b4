"""One local run: lock the workspace, start the subprocess, follow it, summarise it."""

from __future__ import annotations

import importlib.metadata
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil

from pipeline.atomic_files import write_json, write_text
from pipeline.config import PipelineConfig
from pipeline.config.loading import dump
from pipeline.datasets.source import check, resolve
from pipeline.local.live_run import LiveRun
from pipeline.local.run_view import RunView
from pipeline.local.subprocess_runner import SubprocessRunner, explain_exit
from pipeline.runs import summary as summaries
from pipeline.runs.summary import Summary
from pipeline.runs.workspace import RunFiles, Workspace
from trainer.errors import UserError


def run_pipeline(
    config: PipelineConfig,
    workspace_root: Path,
    view: RunView,
    *,
    data_dir: Path | None,
    no_cache: bool,
    until: str | None = None,
) -> tuple[Summary, RunFiles]:
    """Runs the pipeline on this machine.

    Args:
      config: The checked configuration.
      workspace_root: Folder of the workspace, created if it is absent.
      view: Shows the run.
      data_dir: Folder with MovieLens files; None to fetch them.
      no_cache: Run every step, also those whose inputs did not change.
      until: Step after which the run ends; None for the whole pipeline.

    Returns:
      The summary of the run and its files.

    Raises:
      UserError: The workspace or the data cannot be used; no run was started.
    """
    check(config.data, data_dir)
    signal.signal(signal.SIGTERM, _terminate)
    tfx_version = _tfx_version()
    workspace = Workspace.open(workspace_root, create=True)
    dataset = config.data.dataset
    with workspace.lock() as lock:
        view.fact("Dataset", dataset)
        view.fact("Workspace", workspace.root)
        data = resolve(
            config.data, workspace, data_dir, report=lambda text: view.fact("", text)
        )
        view.fact("Data", f"{data.folder} ({data.origin})")
        files = workspace.new_run()
        write_text(files.config, dump(config))
        view.fact("Log", files.log)
        command = [
            *(sys.executable, "-m", "pipeline.local_runner"),
            *("--workspace", str(workspace.root)),
            *("--run-id", files.run_id),
            *("--input-base", str(data.folder)),
            *("--content-fingerprint", data.fingerprint),
            *(["--no-cache"] if no_cache else []),
            *(["--until", until] if until else []),
        ]
        summary = follow(
            command, files, lock, view, dataset=dataset, tfx_version=tfx_version
        )
    return summary, files


def follow(
    command: Sequence[str],
    files: RunFiles,
    lock: int,
    view: RunView,
    *,
    dataset: str,
    tfx_version: str,
) -> Summary:
    """Follows a run to its end and writes its summary.

    Args:
      command: Program and arguments of the subprocess, which writes progress events.
      files: The files of the run.
      lock: File descriptor of the workspace's lock.
      view: Shows the run.
      dataset: MovieLens edition that it reads.
      tfx_version: Version of TFX.

    Raises:
      KeyboardInterrupt: It was interrupted; the summary is written nevertheless.
      SystemExit: The same, by SIGTERM.
    """
    run = LiveRun(files.run_id)
    process = SubprocessRunner(command, files, lock)
    interrupt: BaseException | None = None
    try:
        with process, view:
            for event in process.events():
                if event is None:
                    view.tick(run)
                else:
                    run.update(event)
                    view.show(event, run)
            if process.exit_code and not run.cause:
                view.show(run.fail(*explain_exit(process.exit_code)), run)
    except (KeyboardInterrupt, SystemExit) as error:
        run.fail("the run was interrupted", "Run it again: what ended is cached.")
        interrupt = error
    summary = summaries.build(
        run,
        run.error,
        dataset=dataset,
        tfx_version=tfx_version,
        # Since the start of this process, so that it is what the user waited.
        wall_seconds=time.time() - psutil.Process().create_time(),
        peak_rss_mb=process.peak_rss_mb,
    )
    write_json(files.summary, summary.as_json())
    files.publish()
    if interrupt is not None:
        raise interrupt
    return summary


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


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Makes SIGTERM clean up as Ctrl-C does."""
    raise SystemExit(128 + number)
