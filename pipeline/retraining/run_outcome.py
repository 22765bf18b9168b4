"""What became of a retraining that came to a run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.data_gate import DATA_REPORT_FILE, UNFIT
from components.movielens_example_gen.data_summary import FINGERPRINT_PROPERTY
from components.serving_directory import Push, read_push
from components.serving_directory.labels import read as read_labels
from pipeline.local.live_run import LiveRun
from pipeline.retraining.outcome import Status
from pipeline.runs.run_record import RunRecord
from pipeline.runs.summary import Summary
from pipeline.runs.workspace import RunFiles, Workspace
from trainer.errors import UserError

_GATE = "DataGate"
_ALL_CACHED = "nothing has changed since this was trained: all steps are cached"


@dataclass(frozen=True)
class Before:
    """What was there when a retraining began.

    Attributes:
      versions: Names of the complete versions, oldest first.
      reported: Versions of which an earlier outcome says that they were pushed.
      runs: Ids of the runs; None if it did not come so far.
      live: The version that was live; None if there was none.
    """

    versions: tuple[str, ...] = ()
    reported: frozenset[str] = frozenset()
    runs: frozenset[str] | None = None
    live: str | None = None


def fields_of_run(
    summary: Summary, files: RunFiles, before: Before
) -> Mapping[str, Any]:
    """Returns the fields of the `Outcome` that a run decides on.

    Args:
      summary: Of the run.
      files: Its files.
      before: What was there before the run.
    """
    run = LiveRun.of(files)
    status, reasons = judge(summary, run, files, before)
    failed = [step["id"] for step in summary.steps if step["state"] == "failed"]
    live = summary.live_model and Path(summary.live_model).name
    pushed = summary.pushed_model and Path(summary.pushed_model).name
    previous = before.live
    if status is Status.PUSHED and pushed in before.versions:
        push = _push(pushed, files)  # by the run that was killed
        previous = push.replaced if push else None
    return {
        "status": status,
        "reasons": reasons,
        "run_id": summary.run_id,
        "failed_step": failed[0] if failed else None,
        "live_version": live,
        "previous_version": previous,
        "pushed_version": pushed if status is Status.PUSHED else None,
        "metrics": summary.metrics,
        "steps": summary.steps,
        "train_seconds": summary.train_seconds,
        "peak_rss_mb": summary.peak_rss_mb,
        "report": summary.report,
        "warm_start": run.training.get("base_version"),
        **_data(run),
    }


def judge(
    summary: Summary, run: RunRecord, files: RunFiles, before: Before
) -> tuple[Status, list[str]]:
    """Returns how a retraining ended, and why, one line each."""
    if summary.state == "failed":
        return _failed(summary)
    pushed = summary.pushed_model and Path(summary.pushed_model).name
    if pushed and _is_new(pushed, files, before):
        return Status.PUSHED, [summary.push, *summary.reasons]
    if summary.awaits_approval:
        return Status.AWAITING_APPROVAL, [summary.push, *summary.reasons]
    is_fit = summary.blessed and not run.serving_faults
    if all(step["state"] == "cached" for step in summary.steps):
        faults = [] if is_fit else summary.reasons
        return Status.NOTHING_TO_DO, [_ALL_CACHED, summary.push, *faults]
    if is_fit:  # pushed before; live, or taken away since
        return Status.NOTHING_TO_DO, [summary.push]
    return Status.NOT_BLESSED, list(summary.reasons)


def _failed(summary: Summary) -> tuple[Status, list[str]]:
    failed = {step["id"] for step in summary.steps if step["state"] == "failed"}
    error = summary.error or "unknown cause"
    if failed == {_GATE} and error.startswith(UNFIT):
        return Status.REFUSED, [error]
    pushed = [summary.push] if summary.pushed_model else []
    return Status.FAILED, [error, *pushed]


def _is_new(version: str, files: RunFiles, before: Before) -> bool:
    """Whether a push is news: by this run, or by one that then failed or was killed."""
    if version not in before.versions:
        return True
    push = _push(version, files)
    if version in before.reported or push is None or not push.run_id:
        return False
    pusher = RunFiles(files.path.with_name(push.run_id))
    try:
        return json.loads(pusher.summary.read_bytes())["state"] == "failed"
    except (OSError, ValueError, TypeError, KeyError):
        return pusher.path.is_dir()


def _push(version: str, files: RunFiles) -> Push | None:
    workspace = Workspace(files.path.parents[1])
    return read_push(str(workspace.serving_dir / version))


def _data(run: RunRecord) -> Mapping[str, Any]:
    """What is known of the data; empty where a record is damaged."""
    found: dict[str, Any] = {}
    with contextlib.suppress(UserError):
        found["rows"] = run.data.get("ratings", {})
    examples = run.output("examples")
    if examples is not None:
        found["data_fingerprint"] = examples.properties.get(FINGERPRINT_PROPERTY)
    report = run.output("report")
    if report is not None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            content = json.loads((Path(report.uri) / DATA_REPORT_FILE).read_bytes())
            found["drift"] = content.get("drift", {}).get("divergences", {})
    return found


def find_before(workspace: Workspace, reported: Collection[str]) -> Before:
    """Returns what is there now.

    Args:
      workspace: The workspace.
      reported: See `Before`.

    Raises:
      UserError: The serving directory cannot be read.
    """
    return Before(
        tuple(path.name for path in workspace.versions()),
        frozenset(reported),
        frozenset(files.run_id for files in workspace.run_folders()),
        read_labels(str(workspace.serving_dir)).stable,
    )


def interrupted_run(root: Path, before: Before) -> tuple[Summary, RunFiles] | None:
    """Returns the run that was interrupted; None if there was none, or no summary."""
    if before.runs is None:
        return None
    for files in Workspace(root.absolute()).run_folders():
        if files.run_id not in before.runs:
            with contextlib.suppress(OSError, ValueError, TypeError):
                content = json.loads(files.summary.read_bytes())
                return Summary(**content), files
    return None
