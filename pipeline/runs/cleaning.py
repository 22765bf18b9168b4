"""Deletes the artifacts and logs of old runs.

Kept are the newest runs that succeeded, all runs after the oldest of these, for each
served or withdrawn version the run that pushed it, and the newest run whose model waits
for approval. A run keeps every artifact that it made or
took from the cache. Of every run remain its records in ML Metadata, its configuration,
its summary and what it was judged by; a deleted artifact is marked as such in ML
Metadata, so that TFX never takes it from the cache again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from components.serving_directory import (
    REMOVING_PREFIX,
    WITHDRAWN_PREFIX,
    audit,
    live_version,
    withdrawn_versions,
)
from components.serving_directory.lock import PUSH_WAIT_SECONDS, locked
from components.serving_directory.withdrawal import removable_versions
from pipeline.runs.leftovers import find_leftovers, is_inside, remove, remove_leftovers
from pipeline.runs.metadata_store import MetadataStoreReader, connect
from pipeline.runs.run_record import Artifact, RunRecord
from pipeline.runs.workspace import RunFiles, Workspace
from trainer.atomic_files import part_name
from trainer.errors import UserError

_LEFTOVER: Final = "leftover"
_VERSION: Final = "version"


@dataclass(frozen=True)
class Removal:
    """A file or folder to delete.

    Attributes:
      what: What it is: the key of the output, `version`, `run` or `leftover`.
      path: Where it is.
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
      removals: What to delete.
      records: The runs that are deleted, for what is kept of them.
      keep_versions: How many versions are kept; None for all.
      refused: Paths of artifacts that exist outside of the workspace.
    """

    kept: list[str]
    runs: list[str]
    removals: list[Removal]
    records: list[RunRecord] = field(default_factory=list, repr=False)
    keep_versions: int | None = None
    refused: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes that are freed."""
        return sum(removal.size for removal in self.removals)


def plan(
    workspace: Workspace, *, keep: int, versions: int | None, others: int | None = None
) -> Plan:
    """Decides what to delete.

    Args:
      workspace: The workspace; the caller holds its lock.
      keep: Runs that succeeded to keep, newest first.
      versions: Served versions to keep, newest first, and as many of those that a
        rollback withdrew; None for all. What a rollback chose last is kept too.
      others: Runs that did not succeed to keep, newest first; None for all that are
        newer than the oldest that is kept.

    Raises:
      UserError: No run was recorded yet, or the serving directory cannot be read.
    """
    runs = MetadataStoreReader.open(workspace.root).runs()
    old_versions = _old_versions(workspace, versions)
    kept_versions = _all_versions(workspace) - set(old_versions)
    names = {path.name.removeprefix(WITHDRAWN_PREFIX) for path in kept_versions}
    newest = _newest(runs, keep, others)
    waiting = [run for run in runs if run.awaits_approval][-1:]
    kept = {run.run_id for run in [*newest, *_pushed(runs, names), *waiting]}
    outputs = [
        (run.run_id, key, artifact)
        for run in runs
        for step in run.steps.values()
        for key, artifact in step.outputs.items()
    ]
    kept_outputs = [artifact for run_id, _, artifact in outputs if run_id in kept]
    needed = {artifact.id for artifact in kept_outputs}
    # Of a year of runs nearly all are gone, and each check below takes its time.
    there = (o for o in outputs if o[2].id not in needed and os.path.lexists(o[2].uri))
    unneeded = {artifact.id: (key, artifact) for _, key, artifact in there}
    root = workspace.pipeline_root
    inside = [(k, a) for k, a in unneeded.values() if is_inside(Path(a.uri), root)]
    paths = {str(Path(artifact.uri)) for _, artifact in inside}
    in_use = _with_parents(artifact.uri for artifact in kept_outputs)
    unused = [(k, a) for k, a in inside if _place(Path(a.uri)) not in in_use]
    leftovers = [p for p in find_leftovers(workspace) if str(p) not in paths]
    uris = (artifact.uri for _, artifact in unneeded.values())
    old = [run for run in runs if run.run_id not in kept]
    return Plan(
        kept=sorted(kept),
        runs=[run.run_id for run in old],
        removals=[
            *_artifacts(unused),
            *(_removal(_VERSION, path) for path in old_versions),
            *(_removal("run", path) for path in _run_files(workspace, runs, kept)),
            *(_removal(_LEFTOVER, path) for path in leftovers),
        ],
        records=old,
        keep_versions=versions,
        refused=[u for u in uris if str(Path(u)) not in paths and Path(u).exists()],
    )


def carry_out(workspace: Workspace, what: Plan) -> None:
    """Deletes what was planned; if interrupted, it can be planned again.

    First what can go without writing anything, since the disk may be full.

    Args:
      workspace: The workspace; the caller holds its lock.
      what: From `plan`, under the same lock.

    Raises:
      UserError: Something cannot be deleted; all else is.
      OSError: What is kept of a run cannot be written.
    """
    remove_leftovers(workspace)
    failed = _remove_versions(workspace, what)
    for run in what.records:
        RunFiles(workspace.runs_dir / run.run_id).keep_record(run.judged_by)
    others = [r for r in what.removals if r.what not in (_LEFTOVER, _VERSION)]
    artifacts = [removal for removal in others if removal.artifact_id is not None]
    failed += _remove(removal for removal in others if removal.artifact_id is None)
    _mark_deleted(workspace, artifacts)
    failed += _remove(artifacts)
    if failed:
        path = failed[0].filename
        raise UserError(
            f"{len(failed)} of {len(what.removals)} could not be removed, such as "
            f"{path}: {failed[0].strerror}",
            "Make it writable and run the command again; all else was removed.",
        )


def _remove(removals: Iterable[Removal]) -> list[OSError]:
    """Removes what can be removed; returns the failures."""
    failed = []
    for removal in removals:
        try:
            remove(removal.path)
        except OSError as error:
            failed.append(error)
    return failed


def _mark_deleted(workspace: Workspace, removals: Sequence[Removal]) -> None:
    """Marks artifacts before they go; marked and still there, they do no harm."""
    from ml_metadata.proto import metadata_store_pb2

    store = connect(workspace, writable=True)
    ids = [removal.artifact_id for removal in removals]
    artifacts = store.get_artifacts_by_id(ids)
    for artifact in artifacts:
        artifact.state = metadata_store_pb2.Artifact.DELETED
    store.put_artifacts(artifacts)


def _remove_versions(workspace: Workspace, what: Plan) -> list[OSError]:
    """Removes old versions, unless a rollback chose them since; returns failures."""
    planned = [removal.path for removal in what.removals if removal.what == _VERSION]
    if not planned:
        return []
    serving_dir, failed = str(workspace.serving_dir), []
    with locked(serving_dir, "the removal of old versions", PUSH_WAIT_SECONDS):
        old = _old_versions(workspace, what.keep_versions)
        paths = [path for path in planned if path in old]
        if not paths:
            return []
        live = live_version(serving_dir)
        names = [path.name.removeprefix(WITHDRAWN_PREFIX) for path in paths]
        audit.record(serving_dir, audit.Move("remove", names, live, live))
        for path in paths:
            try:
                remove(path if path.is_symlink() else _hidden(path))
            except OSError as error:
                failed.append(error)
    return failed


def _hidden(path: Path) -> Path:
    """Renames a version so that no server finds half of it."""
    return path.rename(
        path.with_name(f"{REMOVING_PREFIX}{part_name(path.parent).name}")
    )


def _old_versions(workspace: Workspace, keep: int | None) -> list[Path]:
    folder = workspace.serving_dir
    names = [] if keep is None else removable_versions(str(folder), keep)
    return [folder / name for name in names]


def _all_versions(workspace: Workspace) -> set[Path]:
    """Folders of the complete versions and of those that were withdrawn."""
    folder = workspace.serving_dir
    withdrawn = withdrawn_versions(str(folder))
    hidden = (folder / f"{WITHDRAWN_PREFIX}{name}" for name in withdrawn)
    return {*workspace.versions(), *hidden}


def _newest(
    runs: Sequence[RunRecord], keep: int, others: int | None
) -> Sequence[RunRecord]:
    """The newest runs that succeeded, with those in between and after them."""
    succeeded = [index for index, run in enumerate(runs) if run.state == "succeeded"]
    newest = runs[succeeded[-keep] :] if len(succeeded) >= keep else runs
    if others is None:
        return newest
    failed = [run.run_id for run in newest if run.state != "succeeded"]
    old = set(failed[:-others])
    return [run for run in newest if run.run_id not in old]


def _run_files(
    workspace: Workspace, runs: Sequence[RunRecord], kept: set[str]
) -> Iterable[Path]:
    """Yields what is removed of the folders of old runs.

    That is all of a run that TFX never recorded and that is older than those that are
    kept, and the log and events of others.
    """
    recorded = {run.run_id for run in runs}
    oldest = min((r.started for r in runs if r.run_id in kept), default=None)
    for files in workspace.run_folders():
        if files.run_id in recorded - kept:
            yield from files.unneeded()
        elif files.run_id not in recorded and oldest is not None:
            if files.path.stat().st_mtime < oldest.timestamp():
                yield files.path


def _pushed(runs: Sequence[RunRecord], versions: set[str]) -> Iterable[RunRecord]:
    """The run that pushed each version; later runs took it from the cache."""
    first = {run.version: run for run in reversed(runs)}
    return [first[version] for version in versions if version in first]


def _with_parents(uris: Iterable[str]) -> set[Path]:
    """Returns the folders whose removal would remove an artifact."""
    paths = [path for u in uris for path in (_place(Path(u)), Path(u).resolve())]
    return {*paths, *(parent for path in paths for parent in path.parents)}


def _place(path: Path) -> Path:
    """Returns where a path is, with all links followed but itself."""
    return path.parent.resolve() / path.name


def _artifacts(artifacts: Iterable[tuple[str, Artifact]]) -> Iterable[Removal]:
    """Those that still exist."""
    for key, artifact in artifacts:
        path = Path(artifact.uri)
        if path.is_symlink() or path.exists():
            yield _removal(key, path, artifact.id)


def _removal(what: str, path: Path, artifact_id: int | None = None) -> Removal:
    return Removal(what, path, _size(path), artifact_id)


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    files = (file for file in path.rglob("*") if file.is_file())
    return sum(file.lstat().st_size for file in files)
