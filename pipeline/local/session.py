"""One local run: lock the workspace, start the subprocess, follow it, summarise it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import psutil

from pipeline.config import PipelineConfig
from pipeline.config.loading import dump
from pipeline.datasets.source import check, resolve
from pipeline.local.live_run import LiveRun
from pipeline.local.run_view import RunView
from pipeline.local.subprocess_runner import SubprocessRunner, explain_exit
from pipeline.local.system_errors import explain_system_error, full_disk, is_full
from pipeline.runs import summary as summaries
from pipeline.runs.metadata_store import check_file
from pipeline.runs.summary import Summary
from pipeline.runs.workspace import RunFiles, Workspace
from trainer.atomic_files import write_json, write_text
from trainer.errors import UserError
from trainer.progress import Event

_RUN_AGAIN: Final = "Run it again: what ended is cached."


def run_pipeline(
    config: PipelineConfig,
    workspace_root: Path,
    view: RunView,
    *,
    data_dir: Path | None,
    no_cache: bool,
    push_again: bool = False,
    until: str | None = None,
) -> tuple[Summary, RunFiles]:
    """Runs the pipeline on this machine.

    Args:
      config: The checked configuration.
      workspace_root: Folder of the workspace, created if it is absent.
      view: Shows the run.
      data_dir: Folder with MovieLens files; None to fetch them.
      no_cache: Run every step, also those whose inputs did not change.
      push_again: Push the model even if it was pushed before and taken away.
      until: Step after which the run ends; None for the whole pipeline.

    Returns:
      The summary of the run and its files.

    Raises:
      UserError: The workspace or the data cannot be used; no run was started.
    """
    check(config.data, data_dir)
    end_cleanly_on_signals()
    with full_disk_explained(workspace_root), contextlib.ExitStack() as held:
        workspace = Workspace.open(workspace_root, create=True)
        lock = held.enter_context(workspace.lock())
        return run_locked(
            config,
            workspace,
            lock,
            view,
            data_dir=data_dir,
            no_cache=no_cache,
            push_again=push_again,
            until=until,
        )


def run_locked(
    config: PipelineConfig,
    workspace: Workspace,
    lock: int,
    view: RunView,
    *,
    data_dir: Path | None,
    no_cache: bool = False,
    push_again: bool = False,
    until: str | None = None,
    started: float | None = None,
) -> tuple[Summary, RunFiles]:
    """Runs the pipeline in a workspace that the caller has locked.

    Args:
      config: See `run_pipeline`, also for the following.
      workspace: The workspace.
      lock: File descriptor of its lock.
      view: Shows the run.
      data_dir: Folder with MovieLens files.
      no_cache: Run every step.
      push_again: Push the model even if it was taken away.
      until: Step after which the run ends.
      started: Unix time from which the seconds of the run count; None for the start of
        this process, so that they are what the user waited.

    Raises:
      UserError: The workspace or the data cannot be used; no run was started.
    """
    tfx_version = _tfx_version()
    dataset = config.data.dataset
    if workspace.metadata_db.exists():
        check_file(workspace.metadata_db)
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
        *(["--push-again"] if push_again else []),
        *(["--until", until] if until else []),
    ]
    summary = follow(
        *(command, files, lock, view),
        dataset=dataset,
        tfx_version=tfx_version,
        started=started,
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
    started: float | None = None,
) -> Summary:
    """Follows a run to its end and writes its summary.

    Args:
      command: Program and arguments of the subprocess, which writes progress events.
      files: The files of the run.
      lock: File descriptor of the workspace's lock.
      view: Shows the run.
      dataset: MovieLens edition that it reads.
      tfx_version: Version of TFX.
      started: See `run_locked`.

    Raises:
      KeyboardInterrupt: It was interrupted; the summary is written nevertheless.
      SystemExit: The same, by SIGTERM.
    """
    run = LiveRun(files.run_id)
    interrupt: BaseException | None = None
    with signals_deferred() as deliver_signals:
        process = SubprocessRunner(command, files, lock)
        try:
            with process, view:
                deliver_signals()  # which end the process, now that it is known
                for event in process.events():
                    if event is None:
                        view.tick(run)
                    else:
                        run.update(event)
                        _note_memory(event, run, process)
                        view.show(event, run)
                if process.exit_code and (not run.cause or run.running):
                    view.show(run.fail(*_explain_end(process.exit_code, files)), run)
        except (KeyboardInterrupt, SystemExit) as error:
            run.fail("the run was interrupted", _RUN_AGAIN)
            interrupt = error
        except OSError as error:  # nobody reads the output, or its disk is full
            run.fail("the output cannot be written", _RUN_AGAIN)
            interrupt = error
    workspace = Workspace(files.path.parents[1])
    if run.error:
        _remove_leftovers(workspace)
    summary = summaries.build(
        run,
        run.error,
        serving_dir=str(workspace.serving_dir),
        dataset=dataset,
        tfx_version=tfx_version,
        wall_seconds=time.time() - (started or psutil.Process().create_time()),
        peak_rss_mb=process.peak_rss_mb,
    )
    try:
        write_json(files.summary, summary.as_json())
        files.keep_record(run.judged_by)
        files.publish()
    except OSError as error:
        if not run.cause:
            raise
        # Why the run failed is more important than why this did.
        view.fact("Summary", f"cannot be written: {error.strerror}")
    if interrupt is not None:
        raise interrupt
    return summary


def _note_memory(event: Event, run: LiveRun, process: SubprocessRunner) -> None:
    """Gives a step that has ended the memory that was sampled since its start."""
    if event["kind"] != "step":
        return
    if event["state"] == "running":
        process.step_rss_mb[event["id"]] = 0.0
        return
    peak = process.step_rss_mb.pop(event["id"], 0.0)
    if event["state"] != "cached":
        run.steps[event["id"]].peak_rss_mb = peak


def _remove_leftovers(workspace: Workspace) -> None:
    """Removes what a run left that was killed; `two-tower clean` can try it again."""
    # Half a second, which only a run that failed takes.
    from pipeline.runs.leftovers import remove_leftovers

    with contextlib.suppress(UserError, OSError):
        remove_leftovers(workspace)


def _explain_end(code: int, files: RunFiles) -> tuple[str, str]:
    """Cause and remedy for a subprocess that could not say why it ended."""
    folders = [files.path, Path(tempfile.gettempdir())]
    if any(map(is_full, folders)):
        error = full_disk(folders)
        return error.message, error.remedy
    return explain_exit(code)


@contextlib.contextmanager
def full_disk_explained(workspace: Path) -> Iterator[None]:
    """Names the workspace where an error of a full disk names nothing."""
    try:
        yield
    except OSError as error:
        explained = explain_system_error(error, [workspace])
        if explained is None:
            raise
        raise explained from error


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


def end_cleanly_on_signals() -> None:
    """Makes SIGTERM, and SIGHUP of a terminal that closes, clean up as Ctrl-C does.

    A signal that the caller ignores stays ignored, as POSIX asks: `nohup` ignores
    SIGHUP, and a shell ignores SIGINT for what it starts in the background. Such a run
    goes on to its end; SIGTERM ends it.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _terminate)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def signals_deferred() -> Iterator[Callable[[], None]]:
    """Keeps signals that would interrupt the start of a process, until it is known.

    Yields:
      What handles the signals that have arrived, and from then on each at once.
    """
    arrived: list[int] = []
    handlers = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if callable(signal.getsignal(number)):
            handlers[number] = signal.signal(number, lambda n, _: arrived.append(n))

    def deliver() -> None:
        while handlers:
            signal.signal(*handlers.popitem())
        first = arrived[:1]
        arrived.clear()
        for number in first:
            signal.raise_signal(number)

    try:
        yield deliver
    finally:
        deliver()
