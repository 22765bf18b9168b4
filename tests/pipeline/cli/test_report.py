"""`two-tower report` and its neighbours where a run has no report."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.local.events import record_events
from pipeline.runs.running import hold
from pipeline.runs.workspace import Workspace
from tests.fixtures.command import error_line, two_tower
from tests.fixtures.recorded_runs import Records
from trainer.progress import emit


def test_after_a_search_it_says_what_was_chosen(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "workspace", create=True)
    Records(workspace).run("20260301", {"examples": "e1", "tuner_results": "t1"})
    search = workspace.pipeline_root / "Step" / "tuner_results" / "t1" / "search.json"
    search.write_text(json.dumps({"best": {"model.dropout": 0.5}, "trials": []}))
    line = error_line(two_tower("report", cwd=tmp_path), exit_code=1)
    assert "20260301 has no report: it was a search" in line
    assert "dropout 0.5" in line and "None" not in line


def test_a_run_that_goes_on_is_shown_with_its_step(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "workspace", create=True)
    Records(workspace).run("20260301", {"examples": "e1"})
    files = workspace.new_run()
    with open(files.log, "w") as log, record_events(files.events):
        hold(log)
        emit("pipeline", nodes=["Transform", "Trainer"])
        emit("step", id="Trainer", state="running")
        assert "running: Trainer" in two_tower("runs", cwd=tmp_path).stdout
        for command in (("report",), ("compare", "20260301")):
            line = error_line(two_tower(*command, cwd=tmp_path), exit_code=1)
            assert f"{files.run_id} " in line
            assert "it is running, at the step Trainer" in line
