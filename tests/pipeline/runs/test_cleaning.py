"""What is removed of old runs, by the records of runs that never ran."""

from __future__ import annotations

import json
import os
import resource
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.serving_directory import audit, withdrawn_versions
from components.serving_directory.withdrawal import roll_back
from pipeline.runs.cleaning import carry_out, plan
from pipeline.runs.comparison import compare
from pipeline.runs.leftovers import is_inside, remove_leftovers
from pipeline.runs.metadata_store import MetadataStoreReader
from pipeline.runs.workspace import Workspace
from tests.fixtures.command import error_line, two_tower
from tests.fixtures.recorded_runs import Records
from tests.fixtures.served_versions import make_model
from trainer.errors import UserError


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
    lost = workspace.runs_dir / "0"  # ended before anything was recorded
    lost.mkdir()
    os.utime(lost, (0, 0))
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
    names = {removal.path.name for removal in found.removals}
    assert names == {"m2", "r2", "run.log", "0"}
    assert found.size == 3 * 1000
    before = left(workspace)
    carry_out(workspace, found)
    assert before - left(workspace) == {"m2", "r2", "0"}
    assert not (workspace.runs_dir / "b" / "run.log").exists()
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
    assert left(workspace) == {"e1", "m3", "2", "r3", *"abcd", "latest"}
    states = {
        run.run_id: run.state for run in MetadataStoreReader.open(workspace.root).runs()
    }
    assert states == {"a": "cleaned", "b": "cleaned", "c": "succeeded", "d": "failed"}


@pytest.mark.usefixtures("records")
def test_what_a_rollback_withdrew_is_bounded_and_kept_with_its_run(
    workspace: Workspace,
) -> None:
    serving_dir = workspace.serving_dir
    make_model(serving_dir / "3")
    roll_back(str(serving_dir), "1")
    found = plan(workspace, keep=1, versions=1)
    removed = {removal.path.name for removal in found.removals}
    assert ".withdrawn-2" in removed and "1" not in removed
    assert "a" in found.kept  # which pushed the version that is live again
    carry_out(workspace, found)
    assert withdrawn_versions(str(serving_dir)) == ["3"]
    line = audit.read(str(serving_dir))[-1]
    assert (line["action"], line["versions"]) == ("remove", ["2"])


@pytest.mark.usefixtures("records")
def test_a_version_that_was_chosen_since_the_plan_is_not_removed(
    workspace: Workspace,
) -> None:
    found = plan(workspace, keep=1, versions=1)
    roll_back(str(workspace.serving_dir), "1")
    carry_out(workspace, found)
    assert versions(workspace) == ["1"]


@pytest.mark.parametrize("keep", [3, 9])
@pytest.mark.usefixtures("records")
def test_fewer_runs_than_to_keep_are_all_kept(workspace: Workspace, keep: int) -> None:
    """Runs that failed are not counted."""
    found = plan(workspace, keep=keep, versions=None)
    assert found.kept == ["a", "b", "c", "d"] and not found.runs
    assert {removal.path.name for removal in found.removals} == {"0"}


def test_of_runs_that_keep_failing_only_the_newest_are_kept(
    workspace: Workspace, records: Records
) -> None:
    for run_id in "efg":
        records.run(run_id, {"examples": f"of_{run_id}", "model": None})
    assert plan(workspace, keep=1, versions=None).kept == [*"acdefg"]
    found = plan(workspace, keep=1, versions=None, others=2)
    assert found.kept == [*"acfg"]
    assert {"of_e", "of_f"} & {r.path.name for r in found.removals} == {"of_e"}


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
    assert "Another run" in error_line(busy, 75)


def test_what_a_run_was_judged_by_outlives_its_artifacts(workspace: Workspace) -> None:
    records = Records(workspace)
    for number, run_id in enumerate("abc"):
        steps = {"evaluation": f"e{number}", "run_report": f"r{number}"}
        records.run(run_id, {"examples": f"x{number}", **steps})
        summary = {
            "candidate": {"hit_rate@10": number / 10, "ndcg@10": number / 20},
            "popularity_lift": {"ndcg@10": 2.0},
            "intervals": {"candidate": {"hit_rate@10": [0, 1], "ndcg@10": [0, 1]}},
            "blessed": number > 0,
            "reasons": [f"reason {number}"],
        }
        folder = workspace.pipeline_root / "Step" / "evaluation" / f"e{number}"
        (folder / "retrieval_summary.json").write_text(json.dumps(summary))
        (workspace.runs_dir / run_id / "summary.json").write_text("{}")
    before = [run.evaluation for run in MetadataStoreReader.open(workspace.root).runs()]
    assert all(before)
    carry_out(workspace, plan(workspace, keep=1, versions=None))
    runs = MetadataStoreReader.open(workspace.root).runs()
    assert [run.state for run in runs] == ["cleaned", "cleaned", "succeeded"]
    assert not Path(runs[0].steps["evaluation"].outputs["evaluation"].uri).exists()
    assert [run.evaluation for run in runs] == before
    for run_id in "ab":
        kept = {path.name for path in (workspace.runs_dir / run_id).iterdir()}
        assert kept == {"summary.json", "record.json"}
    changes = {change.metric: change for change in compare(*runs[:2]).metrics}
    assert changes["hit_rate@10"].difference == pytest.approx(0.1)
    # The same again finds nothing, and a damaged record is as none.
    assert plan(workspace, keep=1, versions=None).removals == []
    (workspace.runs_dir / "a" / "record.json").write_text("{")
    assert MetadataStoreReader.open(workspace.root).runs()[0].evaluation == {}


def test_runs_are_ordered_as_they_were_recorded_not_by_a_clock_that_was_ahead(
    workspace: Workspace,
) -> None:
    records = Records(workspace)
    for run_id in ("20990101T000000.000000Z", "20260101T000000.000000Z"):
        records.run(run_id, {"model": f"m{run_id}", "run_report": f"r{run_id}"})
    found = plan(workspace, keep=1, versions=None)
    assert found.kept == ["20260101T000000.000000Z"]
    assert found.runs == ["20990101T000000.000000Z"]
    assert MetadataStoreReader.open(workspace.root).run("latest").run_id == "".join(
        found.kept
    )


def _uri_with_dots(workspace: Workspace, outside: Path) -> str:
    up = "/".join([".."] * len(workspace.pipeline_root.parts))
    return f"{workspace.pipeline_root}/{up}{outside}"


def _uri_elsewhere(workspace: Workspace, outside: Path) -> str:
    return str(outside)


def _uri_below_a_link(workspace: Workspace, outside: Path) -> str:
    (workspace.pipeline_root / "Link").symlink_to(outside.parent)
    return f"{workspace.pipeline_root}/Link/{outside.name}"


def _uri_of_the_root(workspace: Workspace, outside: Path) -> str:
    return str(workspace.pipeline_root)


@pytest.mark.parametrize(
    "make", [_uri_with_dots, _uri_elsewhere, _uri_below_a_link, _uri_of_the_root]
)
def test_an_artifact_elsewhere_is_refused_and_named(
    workspace: Workspace, records: Records, tmp_path: Path, make
) -> None:
    outside = tmp_path / "outside" / "precious"
    outside.mkdir(parents=True)
    (outside / "thesis.tex").write_text("precious")
    uri = make(workspace, outside)
    records.move("m2", uri)
    found = plan(workspace, keep=1, versions=None)
    assert found.refused == [uri]
    assert "m2" not in {removal.path.name for removal in found.removals}
    arguments = ("clean", "--keep", "1", "--yes", "--workspace", workspace.root)
    assert (
        f"outside of the workspace: {uri}" in two_tower(*arguments, cwd=tmp_path).stdout
    )
    assert (outside / "thesis.tex").exists()
    assert records.state("m2") == "LIVE"
    assert records.state("r2") == "DELETED"


@pytest.mark.parametrize("kept", ["m3", "e1"])
@pytest.mark.parametrize("where", ["the same", "above", "through a link"])
def test_what_holds_an_artifact_that_is_kept_stays(
    workspace: Workspace, records: Records, kept: str, where: str
) -> None:
    """Two records may name one folder, or a folder and what is in it."""
    key = {"m3": "model", "e1": "examples"}[kept]
    folder = workspace.pipeline_root / "Step" / key / kept
    if where == "through a link":
        records.move(kept, str(workspace.pipeline_root / "link"))
        (workspace.pipeline_root / "link").symlink_to(folder)
    records.move("m2", str(folder.parent if where == "above" else folder))
    carry_out(workspace, plan(workspace, keep=1, versions=1))
    assert (folder / "file").exists()
    assert records.state("r2") == "DELETED"


def test_links_are_removed_and_never_followed(
    workspace: Workspace, records: Records, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    shutil.move(workspace.serving_dir / "1", target)
    (workspace.serving_dir / "1").symlink_to(target)
    artifact = workspace.pipeline_root / "Step" / "model" / "m2"
    shutil.rmtree(artifact)
    artifact.symlink_to(target)
    folder = workspace.pipeline_root / "Step" / "run_report" / "r2"
    (folder / "link").symlink_to(target)
    carry_out(workspace, plan(workspace, keep=1, versions=1))
    assert not artifact.is_symlink() and not folder.exists()
    assert [path.name for path in workspace.serving_dir.glob("[0-9]*")] == ["2"]
    assert (target / "saved_model.pb").exists()
    assert records.state("m2") == "DELETED"


def test_what_cannot_be_removed_is_one_line_and_all_else_goes(
    workspace: Workspace, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.rmtree

    def refuse(path: Path) -> None:
        if path.name == "m2":
            raise PermissionError(13, "Permission denied", str(path))
        real(path)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(UserError, match=r"1 of 4 could not be removed.*m2: Permission"):
        carry_out(workspace, plan(workspace, keep=1, versions=None))
    assert {"r2", "0"}.isdisjoint(left(workspace))
    # Marked and still there: it is never taken from the cache, and planned again.
    assert records.state("m2") == "DELETED"
    monkeypatch.undo()
    assert [r.path.name for r in plan(workspace, keep=1, versions=None).removals] == [
        "m2"
    ]


def test_on_a_full_disk_goes_what_needs_no_record(
    workspace: Workspace, records: Records
) -> None:
    left_by_a_kill = records.killed("Trainer", "model")
    found = plan(workspace, keep=1, versions=1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # no file can grow
    try:
        with pytest.raises((OSError, UserError)):
            carry_out(workspace, found)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert versions(workspace) == ["2"]
    assert not left_by_a_kill.exists()
    carry_out(workspace, plan(workspace, keep=1, versions=1))
    assert "m1" not in left(workspace)


def test_what_killed_processes_left_is_removed(
    workspace: Workspace, records: Records
) -> None:
    killed = records.killed("Trainer", "model")
    (killed / "half").write_text("x")
    system = workspace.pipeline_root / "Trainer" / ".system" / "executor_execution"
    (system / "7").mkdir(parents=True)
    state = workspace.pipeline_root / "Trainer" / "checkpoints" / "0123"
    state.mkdir(parents=True)  # a killed training resumes from it
    unknown = workspace.pipeline_root / "Trainer" / "model" / "4711"
    unknown.mkdir()  # no execution that is known: not ours to judge
    parts = [
        workspace.root / ".part-0123456789abcdef",
        workspace.root / ".workspace.json.4711",
        workspace.runs_dir / "a" / ".part-0123456789abcdef",
        workspace.runs_dir / "a" / ".summary.json.4711",
    ]
    for part in parts:
        part.write_text("x")
    (workspace.runs_dir / ".latest-a").symlink_to("a")
    for name in (".pushing-4711-1", ".removing-x"):
        make_model(workspace.serving_dir / name)
    leftovers = {*parts, killed, system / "7", workspace.runs_dir / ".latest-a"}
    leftovers |= {workspace.serving_dir / n for n in (".pushing-4711-1", ".removing-x")}
    found = plan(workspace, keep=9, versions=None)
    assert {r.path for r in found.removals if r.what == "leftover"} == leftovers
    carry_out(workspace, found)
    assert not [path for path in leftovers if path.exists() or path.is_symlink()]
    assert state.exists() and unknown.exists()
    assert left(workspace) >= {"e1", "m1", "m2", "m3", "a", "latest"}


def test_a_moved_workspace_keeps_its_artifacts(
    workspace: Workspace, records: Records, tmp_path: Path
) -> None:
    before = left(workspace)
    moved = Workspace.open(workspace.root.rename(tmp_path / "moved"))
    assert remove_leftovers(moved) == []
    assert left(moved) == before


@given(
    st.lists(
        st.sampled_from(["..", ".", "Step", "model", "m", "Link", "", "x"]), max_size=6
    ),
    st.booleans(),
)
def test_no_path_that_is_called_inside_leads_out(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], absolute: bool
) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / "artifacts" / "Step" / "model" / "m").mkdir(parents=True)
    (root / "artifacts" / "Link").symlink_to(root)
    text = "/".join(parts)
    path = Path(f"{root}/artifacts/{text}" if absolute else text)
    inside = is_inside(path, root / "artifacts")
    parent = Path(os.path.realpath(path.parent)) / path.name
    assert not inside or parent.is_relative_to(root / "artifacts")
    assert not inside or parent != root / "artifacts"
    shutil.rmtree(root)
