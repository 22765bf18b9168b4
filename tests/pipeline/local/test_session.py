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
from pipeline.local.session import follow, signals_deferred
from pipeline.runs.workspace import Workspace
from tests.fixtures.command import environment, error_line, two_tower
from tests.fixtures.movielens_files import write_csv
from tests.fixtures.served_versions import make_model
from trainer.progress import Event

SCRIPT = """
import sys
import time
from pathlib import Path
from pipeline.local.events import record_events
from trainer.progress import emit
with record_events(Path(sys.argv[1])):
    emit("pipeline", nodes=["Gate"])
    emit("step", id="Gate", state="running")
    time.sleep(0.5)
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
    [step] = summary.steps
    assert step == {
        **{"id": "Gate", "state": "done", "seconds": 1.5},
        "peak_rss_mb": step["peak_rss_mb"],
    }
    assert 5 < step["peak_rss_mb"] <= summary.peak_rss_mb
    assert json.loads(files.summary.read_text()) == summary.as_json()
    assert (workspace.runs_dir / "latest").resolve() == files.path


def start_run(
    folder: Path, ignored: signal.Signals | None = None
) -> subprocess.Popen[str]:
    """Starts a run that lasts until it has imported TFX, with the signals of a shell.

    Args:
      folder: Where it runs.
      ignored: A signal that its caller ignores.
    """
    # Enough to pass the gate: a run that ends by itself cannot be interrupted.
    rows = [(u, m, 4.0, m) for u in range(1, 21) for m in range(1, 15)]
    data = write_csv(folder / "data", rows)

    def set_signals() -> None:  # this process may ignore them itself
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            is_ignored = number == ignored
            signal.signal(number, signal.SIG_IGN if is_ignored else signal.SIG_DFL)

    run = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", "--data-dir", str(data)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=set_signals,  # noqa: PLW1509 - there are no threads
    )
    deadline = time.monotonic() + 60
    while not psutil.Process(run.pid).children(recursive=True):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return run


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_an_interrupted_run_leaves_no_process(
    tmp_path: Path, number: signal.Signals, exit_code: int
) -> None:
    parent = start_run(tmp_path)
    children = psutil.Process(parent.pid).children(recursive=True)

    if number == signal.SIGINT:
        second = two_tower("run", "--data-dir", tmp_path / "data", cwd=tmp_path)
        assert second.returncode == 75
        assert f"process {parent.pid}" in second.stderr

    parent.send_signal(number)
    _, errors = parent.communicate(timeout=30)
    assert parent.returncode == exit_code
    assert "Traceback" not in errors
    assert psutil.wait_procs(children, timeout=5)[1] == []
    latest = tmp_path / "workspace" / "runs" / "latest" / "summary.json"
    assert "interrupted" in json.loads(latest.read_text())["error"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_the_caller_ignores_interrupts_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    """As under nohup, or in the background of a script; SIGTERM ends such a run."""
    run = start_run(tmp_path, ignored=number)
    children = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(number)
    time.sleep(0.5)
    assert run.poll() is None and all(child.is_running() for child in children)
    run.terminate()
    run.communicate(timeout=30)
    assert run.returncode == 143
    latest = tmp_path / "workspace" / "runs" / "latest" / "summary.json"
    assert "interrupted" in json.loads(latest.read_text())["error"]


def test_a_run_that_goes_on_is_shown_as_running(tmp_path: Path) -> None:
    run = start_run(tmp_path)
    listed = two_tower("runs", "--json", cwd=tmp_path)
    [row] = json.loads(listed.stdout)["runs"]
    assert row["state"] == "running"
    report = error_line(two_tower("report", cwd=tmp_path), exit_code=1)
    assert row["run"] in report and "is running" in report
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=30)
    deadline = time.monotonic() + 30
    while "No run was recorded" not in two_tower("runs", cwd=tmp_path).stderr:
        assert time.monotonic() < deadline, "its lock ends with its processes"


# Fills the file system of the workspace, as a step of a run.
FILLS = """
import sys
from pathlib import Path
from pipeline.local.events import record_events
from pipeline.local.failures import explain
from trainer.progress import emit
events = Path(sys.argv[1])
with record_events(events):
    emit("pipeline", nodes=["Trainer"])
    emit("step", id="Trainer", state="running")
    try:
        with open(events.with_name("big"), "wb") as file:
            while True:
                file.write(b"x" * 4096)
                file.flush()
    except OSError as error:
        emit("step", id="Trainer", state="failed", seconds=1.0)
        failure = explain(error, [events.parent])
        emit("error", step="Trainer", cause=failure.message, remedy=failure.remedy)
        print("the log's last line")
        raise SystemExit(1)
"""
FOLLOWS = """
import sys
from pathlib import Path
from pipeline.cli.run_report import report_run
from pipeline.cli.tables import make_console
from pipeline.local.run_view import RunView
from pipeline.local.session import follow, signals_deferred
from pipeline.runs.workspace import Workspace
workspace = Workspace.open(Path("ws"), create=True)
files = workspace.new_run()
console = make_console()
with workspace.lock() as lock:
    summary = follow(
        [sys.executable, "fills.py", str(files.events)],
        files, lock, RunView(console), dataset="ml-tiny", tfx_version="1",
    )
print(files.log.read_text(), files.summary.read_text())
sys.exit(report_run(console, summary, files))
"""


def on_a_small_disk(
    folder: Path, size: str, *arguments: object
) -> subprocess.CompletedProcess[str]:
    """Runs Python in a mount namespace in which `ws` is a small file system."""
    (folder / "ws").mkdir()
    mount = f'mount -t tmpfs -o size={size} none ws || exit 77; exec "$@"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, "sh", sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this machine lets nobody mount a file system")
    return done


def test_a_disk_that_fills_during_a_step_is_the_cause(tmp_path: Path) -> None:
    (tmp_path / "fills.py").write_text(FILLS)
    (tmp_path / "follows.py").write_text(FOLLOWS)
    done = on_a_small_disk(tmp_path, "1m", "follows.py")
    assert done.returncode == 1, done.stderr
    cause, log = done.stderr.splitlines()
    assert "Trainer failed: No space is left on the file system" in cause
    assert str(tmp_path / "ws") in cause and "of 1.0 MB are free" in cause
    assert "Free some space" in cause and log.endswith("run.log")
    assert "the log's last line" in done.stdout
    assert "No space is left" in done.stdout, "the summary has it too"


def test_a_disk_that_is_full_before_is_one_line(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "data", [(u, m, 4.0, m) for u in (1, 2) for m in (3,)])
    script = (
        "import sys, pathlib\n"
        "from pipeline.cli import main\n"
        "ws = pathlib.Path('ws')\n"
        "(ws / 'runs').mkdir()\n"
        "(ws / 'workspace.json').write_text('{\"format\": 1}')\n"
        "try: (ws / 'runs' / 'big').write_bytes(b'x' * 2**20)\n"
        "except OSError: pass\n"
        f"main(['run', '-w', 'ws', '--data-dir', {str(data)!r}])\n"
    )
    done = on_a_small_disk(tmp_path, "100k", "-c", script)
    line = error_line(done, exit_code=1)
    assert "No space is left on the file system" in line and "Free some" in line
    assert str(tmp_path / "ws") in line


KILLED_IN_A_PUSH = """
import os, signal, sys
from pathlib import Path
import components.pusher.push_version as pusher
from pipeline.local.events import record_events
from trainer.progress import emit
def kill(path):
    os.kill(os.getpid(), signal.SIGKILL)
pusher.sync_tree = kill
with record_events(Path(sys.argv[1])):
    emit("pipeline", nodes=["Pusher"])
    emit("step", id="Pusher", state="running")
    pusher.push_version(sys.argv[2], sys.argv[3])
"""


def test_what_a_killed_run_left_is_removed_when_it_is_over(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws", create=True)
    make_model(tmp_path / "model")
    files = workspace.new_run()
    arguments = map(str, (files.events, tmp_path / "model", workspace.serving_dir))
    command = [sys.executable, "-c", KILLED_IN_A_PUSH, *arguments]
    with workspace.lock() as lock:
        summary = follow(
            command, files, lock, Recorder(), dataset="ml-tiny", tfx_version="1.16.0"
        )
    assert (summary.state, summary.live_model) == ("failed", None)
    assert list(workspace.serving_dir.iterdir()) == []


def test_a_signal_waits_until_the_process_that_it_ends_is_known() -> None:
    with pytest.raises(KeyboardInterrupt), signals_deferred() as deliver:
        signal.raise_signal(signal.SIGINT)
        known = True
        deliver()
        known = False
    assert known
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
