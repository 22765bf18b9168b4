"""Every run, retraining and rollback of a workspace over time, each as one entry.

An entry is read from what outlives `clean`: `retrainings.jsonl`, and `summary.json` and
`record.json` of each run. ML Metadata is asked only about runs without these: one that
goes on, was killed, or whose folder was removed. Hundreds of runs take a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.serving_directory.audit import read as read_audit
from pipeline.retraining.approvals import approved_versions
from pipeline.retraining.outcome import OUTCOMES_FILE, Outcome
from pipeline.retraining.outcome_log import read_outcomes
from pipeline.runs.history_entry import (
    Entry,
    of_changes,
    of_record,
    of_retraining,
    of_summary,
    time_of_id,
    with_approval,
)
from pipeline.runs.run_record import read_record
from pipeline.runs.workspace import RunFiles, Workspace
from trainer.errors import UserError


@dataclass(frozen=True)
class History:
    """What is known of a workspace's past.

    Attributes:
      entries: Oldest first, by their start.
      faults: Records that cannot be read, one line each.
    """

    entries: Sequence[Entry]
    faults: Sequence[str] = ()


def read_history(root: Path) -> History:
    """Reads the history of a workspace, also while a run goes on.

    Args:
      root: Folder of the workspace.

    Raises:
      UserError: It is not a workspace.
    """
    workspace = Workspace.open(root)
    faults: list[str] = []
    entries = {}
    for files in workspace.run_folders():
        found = _run_of_folder(files, faults.append)
        if found is not None:
            entries[found.name] = found
    audit = _audit(workspace, faults.append)
    outcomes = _outcomes(workspace, faults.append)
    # What `record.json` and ML Metadata know beyond an outcome is in the run's entry.
    named = {outcome.run_id for outcome in outcomes}
    entries |= {run.name: run for run in _others(workspace, entries, faults.append)}
    retrainings = [
        of_retraining(outcome, entries.get(outcome.run_id or ""))
        for outcome in outcomes
    ]
    rest = [entry for name, entry in entries.items() if name not in named]
    changes = list(of_changes(audit))
    approved = approved_versions(audit)
    runs = [with_approval(entry, approved) for entry in (*retrainings, *rest)]
    everything = (*runs, *changes)
    return History(sorted(everything, key=lambda entry: entry.started), faults)


def _audit(workspace: Workspace, report: Callable[[str], None]) -> list[dict[str, Any]]:
    try:
        return read_audit(str(workspace.serving_dir))
    except UserError as error:
        report(str(error))
        return []


def _outcomes(workspace: Workspace, report: Callable[[str], None]) -> list[Outcome]:
    path = workspace.root / OUTCOMES_FILE
    try:
        # Lines first: one may be appended in between.
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        outcomes = read_outcomes(workspace.root)
    except OSError as error:
        report(f"{path} cannot be read: {error.strerror}")
        return []
    damaged = sum(bool(line.strip(b"\0 \r")) for line in lines) - len(outcomes)
    if damaged > 0:
        report(f"{path}: {damaged} of its lines cannot be read")
    return outcomes


def _run_of_folder(files: RunFiles, report: Callable[[str], None]) -> Entry | None:
    """Returns the entry of a run from its files; None if it left no summary."""
    # Imported here: it takes pydantic, which the help of a command does not need.
    from pipeline.runs.record_shapes import wrong_shape

    started = time_of_id(files.run_id)
    if started is None:
        return None
    try:
        content = json.loads(files.summary.read_bytes())
        wrong = wrong_shape(files.summary.name, content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        wrong = str(error)
    if wrong:
        report(f"{files.summary} is damaged: {wrong}")
        return None
    record = read_record(files.path)
    if not record and files.record.exists():
        report(f"{files.record} is damaged: intervals are not known")
    return of_summary(files.run_id, started, content, record)


def _others(
    workspace: Workspace, known: Mapping[str, Entry], report: Callable[[str], None]
) -> Iterable[Entry]:
    """Yields the runs of which ML Metadata alone knows, and the one that goes on."""
    from pipeline.runs.metadata_store import MetadataStoreReader, NoRunError

    try:
        reader = MetadataStoreReader.open(workspace.root)
        missing = [name for name in reader.run_ids() if name not in known]
    except NoRunError:
        return
    except UserError as error:
        report(str(error))
        return
    for name in missing:
        try:
            yield of_record(reader.run(name))
        except UserError as error:
            report(f"The run {name}: {error}")
