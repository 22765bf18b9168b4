"""What is removed of old runs, by the records of runs that never ran."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.runs.cleaning import carry_out, plan
from pipeline.runs.metadata_store import MetadataStoreReader
from pipeline.runs.workspace import Workspace
from tests.fixtures.command import error_line, two_tower
from tests.fixtures.recorded_runs import Records


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "workspace", create=True)


@pytest.fixture
def records(workspace: Workspace) -> Records:
    """Four runs: each after the first takes the examples from the cache.

    The first pushed version 1, the third version 2; the second pushed nothing, and the
    last failed.
    """
    records = Records(workspace)
    runs: dict[str, dict[str, str | None]] = {
        "a": {"examples": "e1", "model": "m1", "pushed_model": "1", "run_report": "r1"},
        "b": {"examples": "e1", "model": "m2", "run_report": "r2"},
        "c": {"examples": "e1", "model": "m3", "pushed_model": "2", "run_report": "r3"},
        "d": {"examples": "e1", "model": None},
    }
    for run_id, steps in runs.items():
        records.run(run_id, steps)
    (workspace.runs_dir / "0").mkdir()  # ended before anything was recorded
    (workspace.runs_dir / "latest").symlink_to("d")
    return records


def left(workspace: Workspace) -> set[str]:
    folders = [*workspace.pipeline_root.glob("Step/*/*"), *workspace.runs_dir.iterdir()]
    return {path.name for path in folders}


def versions(workspace: Workspace) -> list[str]:
    return [path.name for path in workspace.versions()]


def test_the_newest_runs_and_those_of_served_versions_are_kept(
    workspace: Workspace, records: Records
) -> None:
    found = plan(workspace, keep=1, versions=None)
    assert (found.kept, found.runs) == (["a", "c", "d"], ["b"])
    assert {removal.path.name for removal in found.removals} == {"m2", "r2", "b", "0"}
    assert found.size == 3 * 1000
    before = left(workspace)
    carry_out(workspace, found)
    assert before - left(workspace) == {"m2", "r2", "b", "0"}
    assert versions(workspace) == ["1", "2"]
    # Else the step would be served from the cache, with a model that is gone.
    assert records.state("m2") == records.state("r2") == "DELETED"
    assert records.state("e1") == records.state("m1") == "LIVE"
    assert plan(workspace, keep=1, versions=None).removals == []


def test_old_versions_are_deleted_with_their_artifacts(
    workspace: Workspace, records: Records
) -> None:
    found = plan(workspace, keep=1, versions=1)
    assert found.kept == ["c", "d"]
    carry_out(workspace, found)
    assert versions(workspace) == ["2"]
    # What a kept run took from the cache stays, whoever made it.
    assert left(workspace) == {"e1", "m3", "2", "r3", "c", "d", "latest"}
    states = {
        run.run_id: run.state for run in MetadataStoreReader.open(workspace.root).runs()
    }
    assert states == {"a": "cleaned", "b": "cleaned", "c": "succeeded", "d": "failed"}


@pytest.mark.parametrize("keep", [3, 9])
@pytest.mark.usefixtures("records")
def test_fewer_runs_than_to_keep_are_all_kept(workspace: Workspace, keep: int) -> None:
    """Runs that failed are not counted."""
    found = plan(workspace, keep=keep, versions=None)
    assert found.kept == ["a", "b", "c", "d"] and not found.runs
    assert {removal.path.name for removal in found.removals} == {"0"}


@pytest.mark.usefixtures("records")
def test_files_outside_of_the_workspace_are_not_deleted(
    workspace: Workspace, tmp_path: Path
) -> None:
    """A workspace that was moved names the folders where it was."""
    moved = Workspace.open(workspace.root.rename(tmp_path / "moved"))
    (workspace.pipeline_root / "Step" / "model" / "m2").mkdir(parents=True)
    found = plan(moved, keep=1, versions=1)
    assert not [removal for removal in found.removals if removal.artifact_id]


@pytest.mark.usefixtures("records")
def test_the_command_lists_first_and_deletes_with_yes(
    workspace: Workspace, tmp_path: Path
) -> None:
    arguments = ("clean", "--keep", "1", "--workspace", workspace.root)
    before = left(workspace)
    listed = two_tower(*arguments, cwd=tmp_path).stdout
    assert "Would remove 0.0 MB of 1 runs; 3 are kept." in listed
    assert "Add --yes" in listed
    assert left(workspace) == before
    assert "\nRemoved 0.0 MB" in two_tower(*arguments, "--yes", cwd=tmp_path).stdout
    assert left(workspace) < before
    again = two_tower(*arguments, cwd=tmp_path).stdout
    assert again == "Nothing to remove: 3 runs are kept.\n"
    gone = two_tower("report", "b", "--workspace", workspace.root, cwd=tmp_path)
    assert "it was removed by `two-tower clean`" in error_line(gone, 1)


@pytest.mark.usefixtures("records")
def test_a_locked_workspace_is_not_cleaned(
    workspace: Workspace, tmp_path: Path
) -> None:
    with workspace.lock():
        arguments = ("clean", "--yes", "--workspace", workspace.root)
        busy = two_tower(*arguments, cwd=tmp_path)
    assert "Another run" in error_line(busy, 1)
