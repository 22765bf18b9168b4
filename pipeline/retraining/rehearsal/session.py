"""Prepares a rehearsal, starts its process and follows it."""

from __future__ import annotations

import dataclasses
import datetime
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pipeline.config import PipelineConfig
from pipeline.config.loading import dump
from pipeline.datasets.source import check, resolve
from pipeline.datasets.split_spans import split_spans
from pipeline.local.session import end_cleanly_on_signals, signals_deferred
from pipeline.local.subprocess_runner import SubprocessRunner, explain_exit
from pipeline.retraining.rehearsal.folder import Key, Record, RehearsalFolder
from pipeline.retraining.rehearsal.page import render
from pipeline.retraining.rehearsal.results import summarize
from pipeline.retraining.spans import Spans
from pipeline.runs.paths import check_path
from pipeline.runs.workspace import RunFiles, Workspace
from pipeline.runs.workspace_lock import locked
from trainer.atomic_files import write_text
from trainer.errors import UsageError, UserError

Every = Literal["week", "month", "year"]
# One to train on first, one to measure that and to retrain on, one to measure those.
_FEWEST_SPANS: Final = 3


@dataclass(frozen=True)
class Split:
    """How ratings are split into spans.

    Attributes:
      every: Length of a span; None for `num_spans`.
      num_spans: Number of spans of equal size; None for `every`. If both are None, the
        data has spans.
      start: First day that is not part of the first span; None to split all.
    """

    every: Every | None = None
    num_spans: int | None = None
    start: datetime.date | None = None

    @property
    def is_given(self) -> bool:
        """Whether the data is to be split."""
        return self.every is not None or self.num_spans is not None

    def __str__(self) -> str:
        """As in the option; empty if the data has spans."""
        if self.every is not None:
            return f"{self.every}ly"
        return "" if self.num_spans is None else str(self.num_spans)


def rehearse(
    config: PipelineConfig,
    workspace_root: Path,
    split: Split,
    show: Callable[[str], None],
    *,
    data_dir: Path | None,
    seeds: int = 1,
    name: str | None = None,
) -> tuple[Record, RehearsalFolder]:
    """Replays the ratings span by span, or goes on with what was begun.

    Args:
      config: How every model is trained; `data.last_span` is set for each span.
      workspace_root: Folder of the workspace, created if it is absent.
      split: How ratings are split into spans.
      show: Called with each line of progress.
      data_dir: Folder with ratings; None to fetch an edition.
      seeds: Trainings of each policy and span.
      name: Of the folder; by default made of dataset and split.

    Returns:
      The finished record, and where it is.

    Raises:
      UsageError: The data cannot be split so, or a setting contradicts the rehearsal.
      UserError: The data cannot be read, a step failed, or the folder is of another
        rehearsal or in use.
    """
    check(config.data, data_dir)
    if config.data.last_span is not None:
        raise UsageError(
            f"data.last_span is {config.data.last_span}, but a rehearsal sets it",
            "Remove it.",
        )
    end_cleanly_on_signals()
    workspace = Workspace.open(workspace_root, create=True)
    default = "-".join(filter(None, [config.data.dataset, str(split)])).lower()
    folder = RehearsalFolder.named(workspace.root, name or default)
    check_path(folder.path, "--workspace")
    folder.path.mkdir(parents=True, exist_ok=True)
    with locked(folder.path) as lock:
        data = resolve(config.data, workspace, data_dir, report=show)
        key = Key.of(
            config,
            data=data.fingerprint,
            spans=str(split),
            start=str(split.start or ""),
            seeds=seeds,
        )
        record = folder.read()
        if record is not None and (difference := key.difference(record.key)):
            raise UserError(
                f"{folder.path} holds a rehearsal {difference}",
                "Give another --name, or delete that folder.",
            )
        base = folder.spans if split.is_given else data.folder
        if record is None:
            if split.is_given and not base.exists():
                _split(data.folder, base, split, config)
            record = _begin(folder, config, key, base)
        while not record.is_done:
            _work(folder, base, record, lock, show)
            record = _read(folder)
        record = _finish(folder)
    return record, folder


def _split(source: Path, base: Path, split: Split, config: PipelineConfig) -> None:
    split_spans(
        source,
        base,
        num_spans=split.num_spans,
        every=split.every,
        start=split.start,
        config=config.data,
    )


def _begin(
    folder: RehearsalFolder, config: PipelineConfig, key: Key, base: Path
) -> Record:
    """Finds the spans and writes the record, which comes last."""
    spans = Spans.of(base, config.data)
    names = [spans.setting(span.span) for span in spans.folders]
    if len(names) < _FEWEST_SPANS:
        raise UserError(
            f"{base} has {len(names)} spans, but a rehearsal needs {_FEWEST_SPANS}",
            "Split the ratings into more with --spans, such as monthly or 8.",
        )
    write_text(folder.config, dump(config))
    record = Record(key=dataclasses.asdict(key), spans=names)
    folder.write(record)
    return record


def _work(
    folder: RehearsalFolder,
    base: Path,
    record: Record,
    lock: int,
    show: Callable[[str], None],
) -> None:
    """Runs a process, which does some spans, to its end."""
    files = RunFiles(folder.path)
    for file in (files.events, files.log):  # of an earlier process
        file.unlink(missing_ok=True)
    done = [span for span in record.spans if record.is_finished(span)]
    if done:
        show(f"{len(done)} of {len(record.spans)} spans are done")
    command = [
        *(sys.executable, "-m", "pipeline.retraining.rehearsal.worker"),
        *(str(folder.path), str(base)),
    ]
    cause = remedy = ""
    started = time.monotonic()
    with (
        signals_deferred() as deliver_signals,
        SubprocessRunner(command, files, lock) as process,
    ):
        deliver_signals()
        for event in process.events():
            if event is not None and event["kind"] == "error" and not cause:
                cause, remedy = event["cause"], event["remedy"]
            elif event is not None and "done" in event:
                seconds = time.monotonic() - started
                now = _read(folder)
                show(_progress(folder, now, event["done"], len(done), seconds))
        code = process.exit_code
    if code:
        if not cause:
            cause, remedy = explain_exit(code)
        raise UserError(f"{cause.rstrip('.')}; the log is {files.log}", remedy)


def _progress(
    folder: RehearsalFolder, record: Record, span: str, before: int, seconds: float
) -> str:
    """A line about a span that has ended, with the time that is left."""
    number, total = record.spans.index(span) + 1, len(record.spans)
    parts = [f"span {number}/{total}  {span}"]
    if found := next(
        (s for s in summarize(folder, record).get("spans", ()) if s["name"] == span),
        None,
    ):
        parts.append(f"{found['ratings']:,} ratings of {found['users']} users")
        values = (
            f"{ranker} {metrics['recall@10'][0]:.3f}"
            for ranker, metrics in found["quality"].items()
            if metrics["recall@10"][0] is not None
        )
        parts.append("recall@10 " + ", ".join(values))
        costs = (f"{p} {c['train_seconds']:.1f} s" for p, c in found["cost"].items())
        if text := ", ".join(costs):
            parts.append(f"training {text}")
    left = datetime.timedelta(
        seconds=round(seconds / (number - before) * (total - number))
    )
    return "   ".join([*parts, f"{left} left"])


def _finish(folder: RehearsalFolder) -> Record:
    """Writes result and page, from what was recorded."""
    record = _read(folder)
    if not record.result:
        record.result = summarize(folder, record)
        folder.write(record)
    write_text(folder.page, render(record, folder.path.name))
    return record


def _read(folder: RehearsalFolder) -> Record:
    record = folder.read()
    assert record is not None, "it was written before"
    return record
