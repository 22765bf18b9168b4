"""Reading runs that TFX recorded, by the records of runs that never ran."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as proto

from pipeline.local.events import record_events
from pipeline.runs.metadata_store import MetadataStoreReader, connect
from pipeline.runs.running import hold
from pipeline.runs.workspace import Workspace
from tests.fixtures.recorded_runs import Records
from trainer.errors import UsageError, UserError
from trainer.progress import emit


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "workspace", create=True)


@pytest.fixture
def reader(workspace: Workspace) -> MetadataStoreReader:
    records = Records(workspace)
    records.run("2026-a", {"examples": "e1", "model": "m1", "pushed_model": "1"})
    records.run("2026-b", {"examples": "e1", "model": None})
    return MetadataStoreReader.open(workspace.root)


def test_runs_are_read_with_steps_states_and_outputs(
    reader: MetadataStoreReader, workspace: Workspace
) -> None:
    first, second = reader.runs()
    assert (first.run_id, second.run_id) == ("2026-a", "2026-b")
    assert {step.id: step.state for step in second.steps.values()} == {
        "examples": "cached",
        "model": "failed",
    }
    assert second.steps["examples"].outputs == first.steps["examples"].outputs
    assert first.version == "1" and second.version is None
    execution = first.steps["model"].execution_id
    assert execution is not None
    step = reader.step(execution)
    assert step == first.steps["model"]
    assert step.outputs["model"].uri == str(
        workspace.pipeline_root / "Step" / "model" / "m1"
    )
    assert [a.properties["pushed_version"] for a in reader.pushed_models()] == ["1"]


def test_a_run_is_found_by_the_beginning_of_its_id(reader: MetadataStoreReader) -> None:
    assert reader.run("latest").run_id == reader.run("2026-b").run_id == "2026-b"
    with pytest.raises(UsageError, match="2 runs begin with '2026'"):
        reader.run("2026")
    with pytest.raises(UsageError, match="There is no run '1'.*2026-a, 2026-b"):
        reader.run("1")


def test_a_version_leads_to_the_run_that_made_it(reader: MetadataStoreReader) -> None:
    [step] = reader.upstream("1")
    assert (step.id, reader.runs_with(step)) == ("pushed_model", ["2026-a"])
    with pytest.raises(UsageError, match="'2'. Versions that were pushed: 1"):
        reader.upstream("2")


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("NEW", "stopped"),
        ("RUNNING", "running"),
        ("COMPLETE", "done"),
        ("FAILED", "failed"),
        ("CACHED", "cached"),
        ("CANCELED", "failed"),
    ],
)
def test_each_state_of_ml_metadata_has_one_of_ours(
    reader: MetadataStoreReader, workspace: Workspace, name: str, state: str
) -> None:
    execution_id = reader.run("2026-a").steps["model"].execution_id
    store = connect(workspace, writable=True)
    [execution] = store.get_executions_by_id([execution_id])
    execution.last_known_state = proto.Execution.State.Value(name)
    store.put_executions([execution])
    assert reader.run("2026-a").steps["model"].state == state


def test_a_workspace_without_a_run_is_an_error(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="No run was recorded"):
        MetadataStoreReader.open(workspace.root)


@pytest.mark.parametrize("kept", [10, 100, 4096, 8192, 0.5, 0.9])
def test_a_damaged_file_is_one_line(
    reader: MetadataStoreReader, workspace: Workspace, kept: float
) -> None:
    content = workspace.metadata_db.read_bytes()
    size = int(kept * len(content)) if isinstance(kept, float) else kept
    workspace.metadata_db.write_bytes(content[:size])
    with pytest.raises(UserError, match="metadata.sqlite cannot be read or is damaged"):
        MetadataStoreReader.open(workspace.root).runs()


def test_a_table_that_is_missing_is_one_line(
    reader: MetadataStoreReader, workspace: Workspace
) -> None:
    with sqlite3.connect(workspace.metadata_db) as database:
        database.execute("DROP TABLE Execution")
    with pytest.raises(UserError, match="cannot be read or is damaged") as raised:
        MetadataStoreReader.open(workspace.root).runs()
    assert "SELECT" not in str(raised.value), "no SQL"


def test_a_locked_file_is_one_line_within_seconds(
    reader: MetadataStoreReader, workspace: Workspace
) -> None:
    database = sqlite3.connect(workspace.metadata_db)
    database.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match="is locked by another process"):
        MetadataStoreReader.open(workspace.root)
    database.rollback()
    assert len(MetadataStoreReader.open(workspace.root).runs()) == 2


def test_a_transaction_of_a_killed_process_is_undone(
    reader: MetadataStoreReader, workspace: Workspace
) -> None:
    program = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN IMMEDIATE")
for _ in range(300):
    database.execute("UPDATE Artifact SET uri = uri || 'half of a long name'")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run(
        [sys.executable, "-c", program, str(workspace.metadata_db)], check=False
    )
    journal = Path(f"{workspace.metadata_db}-journal")
    assert journal.stat().st_size, "else there is nothing to undo"
    models = [
        r.output("model") for r in MetadataStoreReader.open(workspace.root).runs()
    ]
    assert models[0] and "half" not in models[0].uri
    assert not journal.exists()


def test_an_empty_file_holds_no_run(workspace: Workspace) -> None:
    workspace.metadata_db.touch()
    with pytest.raises(UserError, match="No run was recorded"):
        MetadataStoreReader.open(workspace.root)


def test_a_run_whose_log_is_held_is_running(workspace: Workspace) -> None:
    files = workspace.new_run()
    with open(files.log, "w") as log:
        hold(log)
        # Nothing is recorded while the run imports TFX.
        [run] = MetadataStoreReader.open(workspace.root).runs()
        assert (run.run_id, run.state, run.running) == (files.run_id, "running", None)

        with record_events(files.events):
            emit("pipeline", nodes=["Transform", "Trainer"])
            emit("step", id="Transform", state="running")
        records = Records(workspace)
        records.run("2026-a", {"examples": "e1"})
        reader = MetadataStoreReader.open(workspace.root)
        assert [run.state for run in reader.runs()] == ["stopped", "running"]
        latest = reader.run("latest")
        assert latest.running is not None and latest.running.id == "Transform"
    assert [r.run_id for r in MetadataStoreReader.open(workspace.root).runs()] == [
        "2026-a"
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("retrieval_summary.json", '{"candidate": {"mrr": "x"}}'),
        ("retrieval_summary.json", '{"candidate": [1]}'),
        ("retrieval_summary.json", "[]"),
        ("retrieval_summary.json", '{"intervals": {"candidate": {"mrr": [1]}}}'),
        ("retrieval_summary.json", '{"candidate": '),
        ("retrieval_summary.json", "\\xff"),
        ("retrieval_summary.json", "[" * 100_000),
    ],
)
def test_a_damaged_file_of_a_step_is_named(
    workspace: Workspace, name: str, content: str
) -> None:
    Records(workspace).run("2026-a", {"evaluation": "e1"})
    path = workspace.pipeline_root / "Step" / "evaluation" / "e1" / name
    path.write_text(content)
    [run] = MetadataStoreReader.open(workspace.root).runs()
    with pytest.raises(UserError, match=f"{path} is damaged: "):
        run.evaluation  # noqa: B018
