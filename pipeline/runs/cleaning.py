"""Deletes the artifacts and logs of old runs.

Kept are the newest runs that succeeded, all runs after the oldest of these, and for
each served version the run that pushed it. A run keeps every artifact that it made or
took from the cache. ML Metadata keeps its records of all runs; a deleted artifact is
marked as such there, so that TFX never takes it from the cache again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.metadata_store import MetadataStoreReader, connect
from pipeline.runs.run_record import Artifact, RunRecord
from pipeline.runs.workspace import Workspace


@dataclass(frozen=True)
class Removal:
    """A folder to delete.

    Attributes:
      what: What it is: the key of the output, `version` or `run`.
      path: The folder.
      size: Its files, in bytes.
      artifact_id: Its id in ML Metadata; None if it is no artifact.
    """

    what: str
    path: Path
    size: int
    artifact_id: int | None = None


@dataclass(frozen=True)
class Plan:
    """What is kept and what is deleted.

    Attributes:
      kept: Ids of the runs of which everything is kept.
      runs: Ids of the runs that are deleted.
      removals: Folders to delete.
    """

    kept: list[str]
    runs: list[str]
    removals: list[Removal]

    @property
    def size(self) -> int:
        """Bytes that are freed."""
        return sum(removal.size for removal in self.removals)


def plan(workspace: Workspace, *, keep: int, versions: int | None) -> Plan:
    """Decides what to delete.

    Args:
      workspace: The workspace.
      keep: Runs that succeeded to keep, newest first.
      versions: Served versions to keep, newest first; None for all.

    Raises:
      UserError: No run was recorded yet.
    """
    runs = MetadataStoreReader.open(workspace.root).runs()
    served = workspace.versions()
    old_versions = [] if versions is None else served[:-versions]
    names = {path.name for path in served if path not in old_versions}
    newest = _newest(runs, keep)
    kept = {run.run_id for run in [*newest, *_pushed(runs, names)]}
    outputs = [
        (run.run_id, key, artifact)
        for run in runs
        for step in run.steps.values()
        for key, artifact in step.outputs.items()
    ]
    needed = {artifact.id for run_id, _, artifact in outputs if run_id in kept}
    unneeded = {a.id: (key, a) for _, key, a in outputs if a.id not in needed}
    folders = [f for f in _run_folders(workspace, newest) if f.name not in kept]
    return Plan(
        kept=sorted(kept),
        runs=[run.run_id for run in runs if run.run_id not in kept],
        removals=[
            *_artifacts(workspace, unneeded.values()),
            *(Removal("version", path, _size(path)) for path in old_versions),
            *(Removal("run", path, _size(path)) for path in folders),
        ],
    )


def carry_out(workspace: Workspace, what: Plan) -> None:
    """Deletes what was planned; if interrupted, it can be planned again.

    Args:
      workspace: The workspace; the caller holds its lock.
      what: From `plan`, under the same lock.
    """
    from ml_metadata.proto import metadata_store_pb2

    store = connect(workspace, writable=True)
    ids = [r.artifact_id for r in what.removals if r.artifact_id is not None]
    artifacts = store.get_artifacts_by_id(ids)
    for artifact in artifacts:
        artifact.state = metadata_store_pb2.Artifact.DELETED
    store.put_artifacts(artifacts)
    # Last: an artifact that is marked and still there does no harm.
    for removal in what.removals:
        shutil.rmtree(removal.path)


def _newest(runs: Sequence[RunRecord], keep: int) -> Sequence[RunRecord]:
    """The newest runs that succeeded, with those in between and after them."""
    succeeded = [index for index, run in enumerate(runs) if run.state == "succeeded"]
    return runs[succeeded[-keep] :] if len(succeeded) >= keep else runs


def _run_folders(workspace: Workspace, newest: Sequence[RunRecord]) -> list[Path]:
    """Folders of runs before the newest, also of runs that TFX never recorded."""
    folders = workspace.runs_dir.iterdir() if newest else ()
    return sorted(
        folder
        for folder in folders
        if folder.name < newest[0].run_id
        and folder.is_dir()
        and not folder.is_symlink()
    )


def _pushed(runs: Sequence[RunRecord], versions: set[str]) -> Iterable[RunRecord]:
    """The run that pushed each version; later runs took it from the cache."""
    first = {run.version: run for run in reversed(runs)}
    return [first[version] for version in versions if version in first]


def _artifacts(
    workspace: Workspace, artifacts: Iterable[tuple[str, Artifact]]
) -> Iterable[Removal]:
    """Those that still exist; what lies outside of the workspace is never deleted."""
    for key, artifact in artifacts:
        path = Path(artifact.uri)
        if path.is_dir() and workspace.pipeline_root in path.parents:
            yield Removal(key, path, _size(path), artifact.id)


def _size(path: Path) -> int:
    files = (file for file in path.rglob("*") if file.is_file())
    return sum(file.lstat().st_size for file in files)
