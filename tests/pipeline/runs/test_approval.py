"""`two-tower approve` on the records of runs that never ran."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.serving_directory.withdrawal import roll_back
from pipeline.runs.approval import approve_run
from pipeline.runs.cleaning import carry_out, plan
from pipeline.runs.metadata_store import MetadataStoreReader
from pipeline.runs.running import hold
from pipeline.runs.workspace import Workspace
from tests.fixtures.command import error_line, two_tower
from tests.fixtures.recorded_runs import Records
from tests.fixtures.served_versions import make_model
from trainer.errors import UserError


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "workspace", create=True)


@pytest.fixture(autouse=True)
def records(workspace: Workspace) -> Records:
    """Run `a` pushed version 1; the model of `b` waits; `c` failed."""
    records = Records(workspace)
    records.run("a", {"model": "m1", "pushed_model": "1", "run_report": "r1"})
    records.run("b", {"model": "m2", "pushed_model": "2", "run_report": "r2"})
    records.run("c", {"model": None})
    records.leave_for_approval("2")
    return records


def runs(workspace: Workspace) -> dict[str, Any]:
    done = two_tower("runs", "-w", workspace.root, "--json", cwd=workspace.root)
    return {run["run"]: run for run in json.loads(done.stdout)["runs"]}


def test_the_commands_show_what_waits_and_what_was_approved(
    workspace: Workspace,
) -> None:
    found = runs(workspace)
    assert [run["awaits_approval"] for run in found.values()] == [False, True, False]
    arguments = ("b", "-w", workspace.root, "--reason", "fine")
    done = two_tower("approve", *arguments, cwd=workspace.root)
    [_, version] = [path.name for path in workspace.versions()]
    assert done.stdout.splitlines() == [
        "Approved   b",
        f"Pushed     version {version}",
        f"Live       {version}",
    ]
    run = runs(workspace)["b"]
    assert (run["version"], run["awaits_approval"]) == (version, False)
    reader = MetadataStoreReader.open(workspace.root)
    assert reader.run("b").version == version
    assert "pushed_model" in [step.id for step in reader.upstream(version)]
    done = two_tower("approve", *arguments, "--json", cwd=workspace.root)
    expected = {"run": "b", "version": version, "pushed": False, "live": version}
    assert json.loads(done.stdout) == expected
    where = ("-w", workspace.root)
    [line, move] = two_tower(
        "lineage", version, *where, cwd=workspace.root
    ).stdout.splitlines()[-2:]
    assert line == f"Version {version}: live"
    assert "approved and pushed 20" in move and move.endswith(": fine")
    # After a rollback it is not approved again by mistake.
    roll_back(str(workspace.serving_dir))
    assert runs(workspace)["b"]["withdrawn"]
    refused = two_tower("approve", *arguments, cwd=workspace.root)
    assert "taken away" in error_line(refused, 1)


@pytest.mark.parametrize(
    ("run", "why"),
    [
        ("a", "it was pushed as version 1"),
        ("c", r"it did not come to the push \(failed\)"),
        ("z", "There is no run 'z'"),
    ],
)
def test_other_runs_are_refused(workspace: Workspace, run: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        approve_run(workspace, run)


def test_a_model_that_was_removed_is_refused(workspace: Workspace) -> None:
    output = MetadataStoreReader.open(workspace.root).run("b").output("pushed_model")
    assert output is not None
    shutil.rmtree(output.uri)
    with pytest.raises(UserError, match="removed by `two-tower clean`"):
        approve_run(workspace, "b")


def test_an_approval_that_was_killed_before_its_record_is_completed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.runs.approval.connect", killed)
        with pytest.raises(KeyboardInterrupt):
            approve_run(workspace, "b")
    assert len(workspace.versions()) == 2
    _, done = approve_run(workspace, "b")
    assert not done.is_new and len(workspace.versions()) == 2
    run = MetadataStoreReader.open(workspace.root).run("b")
    assert run.version == done.version and not run.awaits_approval


def test_cleaning_keeps_the_newest_run_that_waits(
    workspace: Workspace, records: Records
) -> None:
    for name in ("d", "e"):
        records.run(name, {"model": f"m {name}", "run_report": f"r {name}"})
    with workspace.lock():
        found = plan(workspace, keep=1, versions=1)
        assert found.kept == ["a", "b", "e"]
        carry_out(workspace, found)
    assert approve_run(workspace, "b")[1].is_new


def test_a_rollback_says_that_a_run_goes_on(workspace: Workspace) -> None:
    make_model(workspace.serving_dir / "3")
    with (workspace.new_run().log).open("w") as log:
        hold(log)
        done = two_tower("rollback", "-w", workspace.root, cwd=workspace.root)
    assert "goes on. It fails before the push if its model" in done.stderr
    assert done.returncode == 0 and "Live       1" in done.stdout


def test_the_options_of_the_command_belong_together(tmp_path: Path) -> None:
    for arguments in ((), ("a", "--model", "m"), ("--model", "m")):
        done = two_tower("approve", *arguments, cwd=tmp_path)
        assert done.returncode == 2
