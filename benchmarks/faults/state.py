"""What a fault has left in a workspace."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

from components.serving_directory import complete_versions, live_version, versions
from pipeline.retraining.outcome_log import read_outcomes
from pipeline.runs.leftovers import find_leftovers
from pipeline.runs.metadata_store import MetadataStoreReader
from pipeline.runs.workspace import Workspace
from trainer.model_identity import model_id


@dataclasses.dataclass(frozen=True)
class State:
    """What there is in a workspace.

    Attributes:
      faults: What is broken, in words; empty if nothing is.
      versions: Names of the versions that a server sees.
      live_model: Identity of the newest of them; empty if there is none.
      epochs: Epochs that the checkpoints hold.
      leftovers: Names of what the next command removes.
      temporary: Number of files in `TMPDIR`.
      journal: Whether SQLite left a transaction to roll back.
      outcomes: Number of outcomes that are recorded.
    """

    faults: list[str]
    versions: list[str]
    live_model: str
    epochs: list[int]
    leftovers: list[str]
    temporary: int
    journal: bool
    outcomes: int

    def in_words(self) -> str:
        """One cell of a table."""
        words = [*self.faults]
        if self.epochs:
            words.append(f"checkpoint of epoch {max(self.epochs)}")
        if self.leftovers:
            words.append(f"{len(self.leftovers)} leftovers")
        if self.journal:
            words.append("open transaction")
        if self.temporary:
            words.append(f"{self.temporary} temporary files")
        return ", ".join(words) or "nothing"


def inspect(root: Path, temp: Path) -> State:
    """Looks at a workspace without changing it.

    Args:
      root: Folder of the workspace.
      temp: `TMPDIR` of its commands.
    """
    workspace = Workspace(root)
    faults: list[str] = []
    journal = Path(f"{workspace.metadata_db}-journal").exists()
    with _fault(faults, "ML Metadata"):
        MetadataStoreReader.open(root).runs()
    with _fault(faults, "SQLite"):
        address = f"file:{workspace.metadata_db}"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            [[answer]] = database.execute("PRAGMA integrity_check").fetchall()
        if answer != "ok":
            faults.append(f"integrity_check: {answer}")
    serving_dir = str(workspace.serving_dir)
    complete: list[str] = []
    with _fault(faults, "serving directory"):
        complete = complete_versions(serving_dir)
        half = sorted({*versions(serving_dir)} - {*complete})
        faults += [f"version {name} is half written" for name in half]
    live = ""
    with _fault(faults, "live model"):
        version = live_version(serving_dir)
        live = model_id(os.path.join(serving_dir, version)) if version else ""
    leftovers: list[str] = []
    with _fault(faults, "leftovers"):
        leftovers = [str(p.relative_to(root)) for p in find_leftovers(workspace)]
    for summary in workspace.runs_dir.glob("*/*.json"):
        with _fault(faults, str(summary.relative_to(root))):
            json.loads(summary.read_bytes())
    return State(
        faults=faults,
        versions=complete,
        live_model=live,
        epochs=_epochs(workspace, faults),
        leftovers=leftovers,
        temporary=count_files(temp),
        journal=journal,
        outcomes=len(read_outcomes(root)),
    )


def events(root: Path) -> list[dict[str, Any]]:
    """The progress events of the newest run."""
    newest = max((root / "runs").glob("[!.l]*/events.jsonl"), default=None)
    found = []
    for line in newest.read_bytes().splitlines() if newest else ():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def count_files(folder: Path) -> int:
    """Number of files and folders below a folder."""
    return sum(len(folders) + len(files) for _, folders, files in os.walk(folder))


def _epochs(workspace: Workspace, faults: list[str]) -> list[int]:
    found = []
    for path in workspace.pipeline_root.glob("Trainer/checkpoints/*/state.npz"):
        with _fault(faults, "checkpoint"), np.load(path) as arrays:
            found.append(len(arrays["history_loss"]))
    return found


@contextlib.contextmanager
def _fault(faults: list[str], what: str) -> Any:
    try:
        yield
    except Exception as error:  # whatever is broken is the result
        faults.append(f"{what}: {type(error).__name__}: {error}"[:300])
