"""How `two-tower run` looks and ends; the subprocess is a script that emits events."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from components.pusher import PUSHED_VERSION
from pipeline.cli.run_report import report_run
from pipeline.local.run_view import RunView
from pipeline.local.session import follow
from pipeline.runs.workspace import Workspace
from tests.fixtures.served_versions import graph

START = """
import json, os, sys
from pathlib import Path
from pipeline.local.events import record_events
from trainer.progress import emit
events = Path(sys.argv[1])
recording = record_events(events)
recording.__enter__()
print("third-party noise")
def step(name, state="done", **fields):
    emit("step", id=name, state="running")
    emit("step", id=name, state=state, seconds=1.5, **fields)
emit("phase", text="starting TensorFlow and TFX")
emit("pipeline", nodes=["Gate", "Trainer", "Evaluator"])
step("Gate", "cached", figure="no problems")
emit("step", id="Trainer", state="running")
def train(done, **ended):
    emit("train", epoch=done, epochs=3, loss=5 - done, seconds=done, **ended)
train(1.0)
train(1.5)
train(2, recall=None, ndcg=None)
train(2.5)
train(3, recall=0.1234, ndcg=0.25)
"""
REST = """
emit("step", id="Trainer", state="done", seconds=2.5, figure="loss 4.5 -> 3.0")
folder = events.parent / "evaluation"
folder.mkdir()
(folder / "retrieval_summary.json").write_text(json.dumps({
    "candidate": {"mrr": 0.12}, "popularity": {"mrr": 0.04}, "baseline": BASELINE,
    "blessed": True, "reasons": ["first reason", "second [reason]"],
}))
step("Evaluator", outputs={"evaluation": {"uri": str(folder), "properties": {}}})
"""
FAILS = """
emit("step", id="Trainer", state="failed", seconds=2.5)
emit("error", step="Trainer", cause="loss is NaN", remedy="Lower train.learning_rate.")
sys.exit(1)
"""
DIES = "os.kill(os.getpid(), 9)"


def watch(
    folder: Path, script: str, terminal: bool = False
) -> tuple[int, str, dict[str, Any]]:
    """Exit code, what was shown, and the summary."""
    workspace = Workspace.open(folder / "ws", create=True)
    run = workspace.new_run()
    console = Console(
        file=io.StringIO(), width=100, highlight=False, force_terminal=terminal
    )
    with workspace.lock() as lock:
        command = [sys.executable, "-c", START + script, str(run.events)]
        ended = follow(
            command, run, lock, RunView(console), dataset="ml-tiny", tfx_version="1"
        )
    code = report_run(console, ended, run)
    assert (workspace.runs_dir / "latest").resolve() == run.path
    assert "third-party noise" in run.log.read_text()
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue(), json.loads(run.summary.read_text())


def test_a_log_has_one_line_for_each_finished_step_and_epoch(tmp_path: Path) -> None:
    code, shown, summary = watch(tmp_path, REST.replace("BASELINE", "None"))
    assert code == 0
    lines = shown.splitlines()
    assert lines[0].split() == ["starting", "TensorFlow", "and", "TFX", "..."]
    found = [line.split() for line in lines]
    assert ["Gate", "cached", "1.5", "s", "no", "problems"] in found
    assert ["Trainer", "done", "2.5", "s", "loss", "4.5", "->", "3.0"] in found
    epochs = [line.split() for line in lines if "epoch" in line]
    assert epochs == [
        ["epoch", "2/3", "loss", "3.0000", "2.0", "s"],
        [
            "epoch",
            "3/3",
            "loss",
            "2.0000",
            "recall@10",
            "0.123",
            "ndcg",
            "0.2500",
            "3.0",
            "s",
        ],
    ]
    assert ["metric", "candidate", "popularity", "lift"] in found
    assert ["mrr", "0.1200", "0.0400", "3.00x"] in found
    assert ["Blessed", "yes"] in found
    assert "second [reason]" in shown
    assert "noise" not in shown
    assert summary["state"] == "succeeded"
    assert summary["peak_rss_mb"] > 5
    assert 0 < summary["wall_seconds"]


def test_a_live_model_gets_a_column(tmp_path: Path) -> None:
    shown = watch(tmp_path, REST.replace("BASELINE", '{"mrr": 0.11}'))[1]
    found = [line.split() for line in shown.splitlines()]
    assert ["metric", "candidate", "popularity", "lift", "live", "model"] in found
    assert ["mrr", "0.1200", "0.0400", "3.00x", "0.1100"] in found


def test_a_terminal_shows_what_runs_now(tmp_path: Path) -> None:
    pause = "import time; time.sleep(1)\n"
    shown = watch(tmp_path, pause + REST.replace("BASELINE", "None"), terminal=True)[1]
    assert "TensorFlow and TFX" in shown
    assert "running" in shown
    assert "epoch 3.0/3" in shown and "loss 2.0000" in shown
    assert "recall@10 0.123" in shown
    assert "━" in shown


@pytest.mark.parametrize("terminal", [False, True])
def test_a_failed_step_ends_with_one_line_and_the_log(
    tmp_path: Path, terminal: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, summary = watch(tmp_path, FAILS, terminal)
    assert code == 1
    cause, log = capsys.readouterr().err.splitlines()
    assert "loss is NaN. Lower train.learning_rate." in cause
    assert "Trainer failed" in cause
    assert log.endswith("run.log")
    assert summary["error"] == "loss is NaN. Lower train.learning_rate."
    assert [step["state"] for step in summary["steps"]] == [
        "cached",
        "failed",
        "waiting",
    ]


def test_a_step_fails_if_the_subprocess_dies(tmp_path: Path) -> None:
    code, shown, summary = watch(tmp_path, DIES)
    assert code == 1
    assert ["Trainer", "failed"] in [line.split()[:2] for line in shown.splitlines()]
    assert "memory" in summary["error"]
    assert summary["steps"][1]["state"] == "failed"


def test_a_failure_after_the_push_says_what_is_live(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = tmp_path / "ws" / "serving" / "1795576"
    Workspace.open(tmp_path / "ws", create=True)
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(graph("x"))
    properties = {"pushed": 1, PUSHED_VERSION: version.name}
    outputs = {"pushed_model": {"uri": str(tmp_path), "properties": properties}}
    later = FAILS.replace("Trainer", "Evaluator")
    code = watch(tmp_path, f"step('Trainer', outputs={outputs})\n{later}")[0]
    assert code == 1
    shown = capsys.readouterr().err
    assert f"Pushed before it failed, and live: {version}\n" in shown
    watch(tmp_path / "other", FAILS)
    assert "live" not in capsys.readouterr().err
