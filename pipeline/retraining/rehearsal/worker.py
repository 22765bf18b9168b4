"""Does the work of a rehearsal, in a process of its own with TensorFlow and TFX.

`two-tower rehearse` starts `python -m pipeline.retraining.rehearsal.worker`. The steps
are those of the pipeline, up to the Trainer, in one process for many spans, so that TFX
is imported once for them. What they write is removed when the span is finished.

A model is pushed into the serving directory of its policy whether or not it would be
blessed: what a rehearsal compares is what training yields.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.config import PipelineConfig
from pipeline.config.loading import load
from pipeline.local.events import record_events
from pipeline.local.failures import explain
from pipeline.retraining.rehearsal.folder import (
    NEVER,
    POLICIES,
    WARM,
    RehearsalFolder,
    model_name,
)
from pipeline.runs.workspace import RunFiles
from pipeline.secret_text import redacted
from trainer import progress
from trainer.processes import end_with_parent
from trainer.text import start_logging
from trainer.train_report import TRAIN_REPORT_FILE

if TYPE_CHECKING:
    from pipeline.retraining.prequential import Prequential

_LAST_STEP: Final = "Trainer"
# Then another process goes on: TensorFlow keeps some memory of each training.
_MAX_SPANS: Final = 12


class _TrainerOutputs:
    """Remembers what the progress events say of the Trainer."""

    def __init__(self) -> None:
        self.event: progress.Event = {}

    def receive(self, event: progress.Event) -> None:
        if event.get("id") == _LAST_STEP and "outputs" in event:
            self.event = event


class Worker:
    """Goes through the spans, and records each unit of work.

    Args:
      folder: The rehearsal, whose record exists.
      base: Folder of the spans.
    """

    def __init__(self, folder: RehearsalFolder, base: Path) -> None:
        record = folder.read()
        assert record is not None, "two-tower rehearse writes it"
        self.folder = folder
        self.record = record
        self.base = base
        self.config = load([folder.config])
        self._started = time.monotonic()

    def run(self) -> None:
        """Does what is left, or some spans of that."""
        self.folder.discard_unrecorded(self.record)
        left = [span for span in self.record.spans if not self.record.is_finished(span)]
        for span in left[:_MAX_SPANS]:
            progress.emit("phase", text=f"{span}: measuring the live models")
            if self.record.is_unmeasured(span):
                self.measure(span)
            for policy, seed in self.record.missing_trainings(span):
                progress.emit("phase", text=f"{span}: training {policy}, seed {seed}")
                self.train(span, policy, seed)
            shutil.rmtree(self.folder.work, ignore_errors=True)
            progress.emit("phase", text=f"{span}: done", done=span)

    def measure(self, span: str) -> None:
        """Measures all live models on a span that none was trained on."""
        from pipeline.retraining.prequential import measure
        from pipeline.retraining.span_queries import SpanData

        start = time.monotonic()
        models = self.folder.live_models(self.record)
        if span == self.record.spans[1]:  # all policies have the same model
            models = {m: f for m, f in models.items() if m.startswith(NEVER)}
        data = SpanData.read(self.base, self.config.data, span)
        found = measure(models, data.queries())
        num_ratings = int((data.raw.ratings.spans == len(data.spans) - 1).sum())
        self.note(span, found, num_ratings, time.monotonic() - start)

    def note(
        self, span: str, found: Prequential, num_ratings: int, seconds: float
    ) -> None:
        """Records a measurement; its values are written first."""
        self.folder.keep_values(span, found)
        self.record.measured[span] = {
            "rankers": list(found.rankers),
            "ratings": num_ratings,
            "users": len(found.user_ids),
            "queries": found.num_queries,
            "events": found.num_events,
            "unknown_users": found.unknown_users,
            "unknown_movies": found.unknown_movies,
            "trained_on": found.trained_on,
            "seconds": round(seconds, 2),
        }
        self._write()

    def train(self, span: str, policy: str, seed: int) -> None:
        """Trains on all spans up to one, and makes the model live."""
        from components.pusher.push_version import push_version

        trained = self._run_steps(span, policy, seed)
        outputs = {key: value["uri"] for key, value in trained["outputs"].items()}
        report_file = Path(outputs["model_run"], TRAIN_REPORT_FILE)
        report = json.loads(report_file.read_text(encoding="utf-8"))
        is_first = span == self.record.spans[0]
        names = [model_name(p, seed) for p in (POLICIES if is_first else (policy,))]
        old = {name: self.record.live.get(name) for name in names}
        for name in names:
            path = push_version(
                str(Path(outputs["model"], "Format-Serving")),
                str(self.folder.serving_dir(name)),
            )
            self.record.live[name] = os.path.basename(path)
        self.record.trained.setdefault(span, {})[model_name(policy, seed)] = {
            "train_seconds": round(report["train_seconds"], 3),
            "step_seconds": round(trained["seconds"], 3),
            "epochs": len(report["loss"]),
            "targets": report["num_targets"],
            "start": str(report.get("start", "")),
        }
        self._write()
        for name, version in old.items():
            if version is not None:
                shutil.rmtree(self.folder.serving_dir(name) / version)

    def _run_steps(self, span: str, policy: str, seed: int) -> progress.Event:
        """Runs the pipeline up to the Trainer; returns the last event of that."""
        from tfx.orchestration import metadata

        from pipeline.engines.beam_options import BEAM_ARGS
        from pipeline.local.progress_runner import ProgressDagRunner
        from pipeline.pipeline import create_pipeline

        work = self.folder.work
        work.mkdir(exist_ok=True)
        connection = metadata.sqlite_metadata_connection_config(
            str(work / "metadata.sqlite")
        )
        pipeline = create_pipeline(
            policy_config(self.config, span, policy, seed),
            pipeline_root=str(work / "artifacts"),
            input_base=str(self.base),
            serving_dir=str(self.folder.serving_dir(model_name(policy, seed))),
            beam_pipeline_args=BEAM_ARGS,
            metadata_connection_config=connection,
        )
        outputs = _TrainerOutputs()
        run_id = f"{span}-{policy}-{seed}-{time.time_ns()}"
        runner = ProgressDagRunner(
            run_id, _LAST_STEP, self.config.engine, self.config.data.beam_args()
        )
        with progress.received_by(outputs.receive):
            runner.run(pipeline)
        return outputs.event

    def _write(self) -> None:
        now = time.monotonic()
        self.record.seconds = round(self.record.seconds + now - self._started, 2)
        self._started = now
        self.folder.write(self.record)


def policy_config(
    config: PipelineConfig, span: str, policy: str, seed: int
) -> PipelineConfig:
    """Returns the configuration of a training: only what must differ does."""
    train = dataclasses.replace(
        config.train,
        seed=config.train.seed + seed - 1,
        warm_start="auto" if policy == WARM else "never",
    )
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, last_span=span),
        train=train,
    )


def main(options: argparse.Namespace) -> int:
    """Does the work; returns the exit code."""
    start_logging(clean=redacted)
    for noisy in ("absl", "apache_beam"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    end_with_parent()
    folder = RehearsalFolder(options.folder)
    with record_events(RunFiles(folder.path).events):
        try:
            Worker(folder, options.base).run()
        except Exception as error:
            failure = explain(error, [folder.path, Path(tempfile.gettempdir())])
            progress.emit(
                "error", step=None, cause=failure.message, remedy=failure.remedy
            )
            logging.exception("The rehearsal failed")
            return 1
    return 0


def _main_and_exit() -> None:
    """Runs `main`, then ends without destroying thousands of modules (2 seconds)."""
    parser = argparse.ArgumentParser(prog="pipeline.retraining.rehearsal.worker")
    parser.add_argument("folder", type=Path)
    parser.add_argument("base", type=Path)
    code = main(parser.parse_args())
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    _main_and_exit()
