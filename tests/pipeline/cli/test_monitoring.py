"""`two-tower monitoring`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from components.serving_directory.audit import Move, record
from pipeline.cli import main
from pipeline.config.loading import dump, load
from pipeline.monitoring.publisher import publish_again
from pipeline.retraining.outcome import Outcome, Status
from pipeline.retraining.outcome_log import append_outcome
from pipeline.runs.workspace import Workspace
from tests.fixtures.served_versions import graph


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["monitoring", *map(str, arguments)])


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = Workspace.open(tmp_path / "workspace", create=True).root
    outcome = Outcome(
        status=Status.REFUSED,
        pipeline="two-tower",
        workspace="/moved/since",
        started="2026-03-01T03:00:00+00:00",
        seconds=60.0,
    )
    append_outcome(root, outcome)
    return root


def test_alerts_and_dashboard_are_exported(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    for _ in range(2):  # also over older copies
        result = run("export", folder)
        assert result.exit_code == 0
    alerts, dashboard = map(Path, result.output.split())
    assert yaml.safe_load(alerts.read_text("utf-8"))["groups"]
    assert '"schemaVersion"' in dashboard.read_text("utf-8")
    (tmp_path / "file").write_text("")
    assert run("export", tmp_path / "file").exit_code == 2


def test_metrics_can_be_published_again(workspace: Path, tmp_path: Path) -> None:
    shown = run("show", "-w", workspace)
    assert shown.exit_code == 0
    assert 'two_tower_retraining_status{pipeline="two-tower",status="refused"} 1.0' in (
        shown.output.splitlines()
    )
    setting = f"monitoring.textfile_dir={tmp_path}"
    assert run("publish", "-w", workspace, "--set", setting).exit_code == 0
    path = tmp_path / "two_tower_two-tower.prom"
    assert path.read_text("utf-8") == shown.output
    missing = run("publish", "-w", workspace, "--set", f"{setting}/missing")
    assert missing.exit_code == 1
    assert "No such file or directory" in missing.output
    assert run("publish", "-w", workspace).exit_code == 2
    (workspace / "retrainings.jsonl").unlink()
    assert "No retraining was recorded" in run("show", "-w", workspace).output


def test_metrics_are_published_again_when_another_version_is_live(
    tmp_path: Path,
) -> None:
    workspace = Workspace.open(tmp_path / "workspace", create=True)
    for version in ("1772334000", "1772334060"):
        folder = workspace.serving_dir / version
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(graph("model"))
    files = workspace.new_run()
    config = load(assignments=[f"monitoring.textfile_dir={tmp_path}"])
    files.config.write_text(dump(config))
    workspace.new_run().config.write_text(dump(load()))  # by a person, since
    waiting = Outcome(
        status=Status.AWAITING_APPROVAL,
        pipeline="two-tower",
        workspace=str(workspace.root),
        started="2026-03-01T03:00:00+00:00",
        seconds=60.0,
        run_id=files.run_id,
    )
    append_outcome(workspace.root, waiting)
    path = tmp_path / "two_tower_two-tower.prom"
    back = CliRunner().invoke(main, ["rollback", "-w", str(workspace.root)])
    assert back.exit_code == 0, back.output
    assert 'live_model_info{pipeline="two-tower",version="1772334000"}' in (
        path.read_text("utf-8")
    )
    assert 'status="awaiting_approval"} 1.0' in path.read_text("utf-8")
    move = Move("approve", ["1772334070"], None, "1772334070", run_id=files.run_id)
    record(str(workspace.serving_dir), move)
    assert publish_again(workspace.root) == []
    assert 'status="awaiting_approval"} 0.0' in path.read_text("utf-8")
    assert 'status="pushed"} 1.0' in path.read_text("utf-8")
    path.unlink()
    path.mkdir()
    [fault] = publish_again(workspace.root)
    assert "Is a directory" in fault
    assert publish_again(tmp_path / "nowhere") != []
