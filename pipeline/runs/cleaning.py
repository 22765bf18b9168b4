"""Removes what old runs have left, and nothing that is needed still.

Kept are the newest runs that succeeded and all that came after them, and for each
served version the run that pushed it. A run keeps every artifact that it made or took
from the cache. ML Metadata keeps its records of all runs; a removed artifact is marked
there as deleted, so that TFX never takes it from the cache again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.metadata_store import History, connect
from pipeline.runs.run_record import Artifact, PastRun
from pipeline.runs.workspace import Workspace


@dataclass(frozen=True)
class Removal:
    """A folder that goes.

    Attributes:
      what: What it is: the key of the output, `version` or `run`.
      path: The folder.
      size: Its files, in bytes.
      artifact_id: Of ML Metadata; None where it is no artifact.
    """

    what: str
    path: Path
    size: int
    artifact_id: int | None = None


@dataclass(frozen=True)
class Plan:
    """What stays and what goes.

    Attributes:
      kept: Ids of the runs that stay whole.
      runs: Ids of the runs that go.
      removals: Folders that go.
    """

    kept: list[str]
    runs: list[str]
    removals: list[Removal]

    @property
    def size(self) -> int:
        """What is freed, in bytes."""
        return sum(removal.size for removal in self.removals)


def plan(workspace: Workspace, *, keep: int, versions: int | None) -> Plan:
    """Decides what goes.

    Args:
      workspace: The workspace.
      keep: Runs that succeeded to keep, newest first.
      versions: Served versions to keep, newest first; None for all.

    Raises:
      UserError: No run was recorded yet.
    """
    runs = History(workspace).runs()
    served = workspace.versions()
    doomed_versions = [] if versions is None else served[:-versions]
    names = {path.name for path in served if path not in doomed_versions}
    newest = _newest(runs, keep)
    kept = {run.run_id for run in [*newest, *_pushed(runs, names)]}
    needed = {a.id for run in runs if run.run_id in kept for a in _of(run)}
    made = {a.id: a for run in runs for a in _of(run)}
    folders = [f for f in _run_folders(workspace, newest) if f.name not in kept]
    return Plan(
        kept=sorted(kept),
        runs=[run.run_id for run in runs if run.run_id not in kept],
        removals=[
            *_artifacts(workspace, (made[i] for i in sorted(made) if i not in needed)),
            *(Removal("version", path, _size(path)) for path in doomed_versions),
            *(Removal("run", path, _size(path)) for path in folders),
        ],
    )


def carry_out(workspace: Workspace, what: Plan) -> None:
    """Removes what goes; done half, it can be planned and carried out again.

    Args:
      workspace: The workspace; the caller holds its lock.
      what: From `plan`, under the same lock.
    """
    from ml_metadata.proto import metadata_store_pb2

    store = connect(workspace, writes=True)
    ids = [r.artifact_id for r in what.removals if r.artifact_id is not None]
    artifacts = store.get_artifacts_by_id(ids)
    for artifact in artifacts:
        artifact.state = metadata_store_pb2.Artifact.DELETED
    store.put_artifacts(artifacts)
    # Only now: an artifact that is marked and still there does no harm.
    for removal in what.removals:
        shutil.rmtree(removal.path)


def _newest(runs: Sequence[PastRun], keep: int) -> Sequence[PastRun]:
    """The newest runs that succeeded, with those in between and after them."""
    succeeded = [place for place, run in enumerate(runs) if run.state == "succeeded"]
    return runs[succeeded[-keep] :] if len(succeeded) >= keep else runs


def _run_folders(workspace: Workspace, newest: Sequence[PastRun]) -> list[Path]:
    """Of runs before the newest, also those that ended before TFX recorded them."""
    folders = workspace.runs_dir.iterdir() if newest else ()
    return sorted(
        folder
        for folder in folders
        if folder.name < newest[0].run_id
        and folder.is_dir()
        and not folder.is_symlink()
    )


def _pushed(runs: Sequence[PastRun], versions: set[str]) -> Iterable[PastRun]:
    """For each version the run that pushed it: later ones took it from the cache."""
    first = {run.version: run for run in reversed(runs)}
    return [first[version] for version in versions if version in first]


def _of(run: PastRun) -> list[Artifact]:
    return [artifact for step in run.steps for artifact in step.outputs.values()]


def _artifacts(
    workspace: Workspace, artifacts: Iterable[Artifact]
) -> Iterable[Removal]:
    """Those that are still there; what lies outside of the workspace is not ours."""
    for artifact in artifacts:
        path = Path(artifact.output.uri)
        if path.is_dir() and workspace.pipeline_root in path.parents:
            yield Removal(artifact.key, path, _size(path), artifact.id)


def _size(path: Path) -> int:
    files = (file for file in path.rglob("*") if file.is_file())
    return sum(file.lstat().st_size for file in files)
