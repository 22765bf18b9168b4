"""Runs the pipeline on this machine: `python -m pipeline.local_runner`.

`two-tower run` starts it as a subprocess, since it imports TensorFlow and TFX, which
the command line does not. It writes its progress to the run's `events.jsonl` (see
`pipeline.local.events`) and prints to the run's log.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import gc
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from components.servability_check.check_process import start_ahead
from pipeline.config import PipelineConfig
from pipeline.config.loading import load
from pipeline.local.after_training import called_after_training
from pipeline.local.events import record_events
from pipeline.local.failures import explain
from pipeline.local.lean_imports import lean_imports
from pipeline.runs.workspace import RunFiles, Workspace
from pipeline.secret_text import redacted
from trainer import progress
from trainer.processes import end_with_parent
from trainer.text import start_logging
from trainer.workers.config import WORKERS_VARIABLE

_TIGHT_LIMIT_MS: Final = 50.0


def main(options: argparse.Namespace) -> int:
    """Runs the pipeline; returns the exit code."""
    # Logs the decisions of the steps, but not the protos that TFX and Beam log.
    start_logging(clean=redacted)
    for noisy in ("absl", "apache_beam"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    end_with_parent()
    workspace = Workspace.open(options.workspace)
    files = RunFiles(workspace.runs_dir / options.run_id)
    with record_events(files.events):
        progress.emit("phase", text="starting TensorFlow and TFX")
        try:
            _run(options, workspace, load([files.config]))
        except Exception as error:
            folders = [workspace.root, Path(tempfile.gettempdir())]
            failure = explain(error, folders)
            progress.emit(
                "error", step=None, cause=failure.message, remedy=failure.remedy
            )
            # After the event, which makes space for this on a disk that is full.
            logging.exception("The run failed")
            return 1
    return 0


def _run(
    options: argparse.Namespace, workspace: Workspace, config: PipelineConfig
) -> None:
    # The imports take 5 seconds or more. They make a million objects that stay: to look
    # through them for garbage, then and in each later collection, takes a fifth more.
    gc.disable()
    # KerasTuner calls some of what is left out.
    with contextlib.nullcontext() if config.tune.enabled else lean_imports():
        from tfx.orchestration import metadata

        from pipeline.engines.beam_options import BEAM_ARGS
        from pipeline.local.progress_runner import ProgressDagRunner
        from pipeline.pipeline import create_pipeline
        from pipeline.runs.leftovers import remove_leftovers

    gc.freeze()
    gc.enable()
    # Or argparse asks for the terminal's width and looks for translations in each of
    # Beam's hundreds of parsers: a second in all.
    os.environ.setdefault("COLUMNS", "80")
    os.environ.setdefault("LANGUAGE", "C")
    os.environ[WORKERS_VARIABLE] = str(config.train.workers)
    if config.train.workers > 1:
        # TensorFlow in this process would take all memory of the GPUs, in Transform.
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    pipeline = create_pipeline(
        config,
        pipeline_root=str(workspace.pipeline_root),
        input_base=options.input_base,
        content_fingerprint=options.content_fingerprint,
        serving_dir=str(workspace.serving_dir),
        beam_pipeline_args=BEAM_ARGS,  # in the cache key; the runner has the engine's
        metadata_connection_config=metadata.sqlite_metadata_connection_config(
            str(workspace.metadata_db)
        ),
        # The id of the run, since no other run has it.
        push_again=options.run_id if options.push_again else "",
    )
    remove_leftovers(workspace)
    if options.no_cache:
        pipeline.enable_cache = False
    # With a limit of few milliseconds nothing may run while answers are timed.
    limit = config.serving.max_latency_ms
    is_tight = limit is not None and limit < _TIGHT_LIMIT_MS
    runner = ProgressDagRunner(
        options.run_id,
        options.until,
        config.engine,
        config.data.beam_args(),
        background=() if is_tight else ("ServabilityCheck",),
    )
    with called_after_training(start_ahead):
        runner.run(pipeline)


def _main_and_exit() -> None:
    """Runs `main`, then ends without destroying thousands of modules (2 seconds)."""
    parser = argparse.ArgumentParser(prog="pipeline.local_runner", description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--input-base", required=True)
    parser.add_argument("--content-fingerprint", required=True)
    parser.add_argument("--no-cache", action="store_true")
    parser.add_argument("--push-again", action="store_true")
    parser.add_argument("--until")
    options = parser.parse_args()
    code = 1

    def leave() -> None:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    # Exit functions run in reverse order: this one after those of the libraries.
    atexit.register(leave)
    code = main(options)


if __name__ == "__main__":
    _main_and_exit()
