"""A run without a command line, and what an interrupted one leaves behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.local.live_run import LiveRun
from pipeline.local.run_view import RunView
from pipeline.local.session import follow
from pipeline.runs.workspace import Workspace
from tests.fixtures.command import environment, two_tower
from tests.fixtures.movielens_files import write_csv
from trainer.progress import Event

SCRIPT = """
import sys
from pathlib import Path
from pipeline.local.events import record_events
from trainer.progress import emit
with record_events(Path(sys.argv[1])):
    emit("pipeline", nodes=["Gate"])
    emit("step", id="Gate", state="running")
    emit("step", id="Gate", state="done", seconds=1.5)
"""


class Recorder(RunView):
    """Records how it is called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def fact(self, label: str, value: object) -> None:
        self.calls.append(label)

    def show(self, event: Event, run: LiveRun) -> None:
        if event["kind"] == "step":
            assert run.steps[event["id"]].state == event["state"], "already applied"
        self.calls.append(event["kind"])

    def tick(self, run: LiveRun) -> None:
        pass

    def __enter__(self) -> Recorder:
        self.calls.append("enter")
        return self

    def __exit__(self, *error: object) -> None:
        self.calls.append("exit")


def test_every_event_is_shown_and_the_summary_is_written(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws", create=True)
    files = workspace.new_run()
    view = Recorder()
    with workspace.lock() as lock:
        command = [sys.executable, "-c", SCRIPT, str(files.events)]
        summary = follow(
            command, files, lock, view, dataset="ml-tiny", tfx_version="1.16.0"
        )
    assert view.calls == ["enter", "pipeline", "step", "step", "exit"]
    assert summary.steps == [{"id": "Gate", "state": "done", "seconds": 1.5}]
    assert json.loads(files.summary.read_text()) == summary.as_json()
    assert (workspace.runs_dir / "latest").resolve() == files.path


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_interrupted_run_leaves_no_process(
    tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    # Enough to pass the gate: a run that ends by itself cannot be interrupted.
    rows = [(u, m, 4.0, m) for u in range(1, 21) for m in range(1, 15)]
    data = write_csv(tmp_path / "data", rows)
    parent = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", "--data-dir", str(data)],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (children := psutil.Process(parent.pid).children(recursive=True)):
        assert time.monotonic() < deadline
        time.sleep(0.1)

    second = two_tower("run", "--data-dir", data, cwd=tmp_path)
    assert second.returncode == 1
    assert f"process {parent.pid}" in second.stderr

    parent.send_signal(number)
    _, errors = parent.communicate(timeout=30)
    assert parent.returncode == exit_code
    assert "Traceback" not in errors
    assert psutil.wait_procs(children, timeout=5)[1] == []
    latest = tmp_path / "workspace" / "runs" / "latest" / "summary.json"
    assert "interrupted" in json.loads(latest.read_text())["error"]
