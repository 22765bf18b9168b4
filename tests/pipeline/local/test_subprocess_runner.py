"""Real processes: how they end, what they use, what they leave behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.local.subprocess_runner import SubprocessRunner, explain_exit
from pipeline.runs.workspace import RunFiles, Workspace
from tests.fixtures.command import environment
from trainer.progress import Event

# The script's argument is the events file.
EMIT = """
import sys
from pathlib import Path
from pipeline.local.events import record_events
from trainer.progress import emit
recording = record_events(Path(sys.argv[1]))
recording.__enter__()
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "ws", create=True)


@pytest.fixture
def lock(workspace: Workspace) -> Iterator[int]:
    with workspace.lock() as descriptor:
        yield descriptor


def start(script: str, run: RunFiles, lock: int) -> SubprocessRunner:
    return SubprocessRunner([sys.executable, "-c", script, str(run.events)], run, lock)


def all_events(child: SubprocessRunner) -> list[Event]:
    with child:
        return [event for event in child.events() if event]


def test_temporary_files_do_not_outlive_the_run(
    workspace: Workspace, lock: int
) -> None:
    run = workspace.new_run()
    script = f"""{EMIT}
import os, signal, tempfile
emit("phase", text=tempfile.mkdtemp())
os.kill(os.getpid(), signal.SIGKILL)
"""
    [event] = all_events(start(script, run, lock))
    assert not Path(event["text"]).parent.exists()


def test_events_are_followed_and_output_is_logged(
    workspace: Workspace, lock: int
) -> None:
    run = workspace.new_run()
    script = f"""{EMIT}
import os
os.write(2, b"noise of a C++ library\\n")
emit("phase", text="a")
print("noise of a Python library")
emit("phase", text="b")
"""
    child = start(script, run, lock)
    assert [event["text"] for event in all_events(child)] == ["a", "b"]
    assert child.exit_code == 0
    log = run.log.read_text()
    assert "C++ library" in log and "Python library" in log


def test_a_killed_subprocess_is_explained(workspace: Workspace, lock: int) -> None:
    script = "import os; os.kill(os.getpid(), 9)"
    child = start(script, workspace.new_run(), lock)
    all_events(child)
    cause, remedy = explain_exit(child.exit_code)
    assert "memory" in cause and "train.batch_size" in remedy


def test_a_crash_names_its_signal_and_leaves_a_trace(
    workspace: Workspace, lock: int
) -> None:
    run = workspace.new_run()
    child = start("import ctypes; ctypes.string_at(0)", run, lock)
    all_events(child)
    assert child.exit_code == -signal.SIGSEGV
    assert "SIGSEGV" in explain_exit(child.exit_code)[0]
    assert "Segmentation fault" in run.log.read_text()


WATCH = """
import sys
from pathlib import Path
from pipeline.local.subprocess_runner import SubprocessRunner
from pipeline.runs.workspace import Workspace
workspace = Workspace.open(Path(sys.argv[1]), create=True)
with workspace.lock() as lock:
    command = [sys.executable, "-c", sys.argv[2]]
    child = SubprocessRunner(command, workspace.new_run(), lock)
    with child:
        list(child.events())
print(child.peak_rss_mb)
"""


def test_peak_memory_counts_the_whole_tree(tmp_path: Path) -> None:
    script = """
import subprocess, sys
own = b"x" * 60_000_000
script = "b = b'x' * 60_000_000; import time; time.sleep(1)"
subprocess.run([sys.executable, "-c", script])
"""
    # From a small process: until it becomes Python anew, a forked child looks as large
    # as its parent, and this one may hold TensorFlow.
    watch = [sys.executable, "-c", WATCH, str(tmp_path / "ws"), script]
    shown = subprocess.run(watch, env=environment(), capture_output=True, check=True)
    assert 115 < float(shown.stdout) < 400


@pytest.mark.parametrize("stubborn", ["child", "grandchild"])
def test_nothing_is_left_behind(workspace: Workspace, lock: int, stubborn: str) -> None:
    """Neither the child nor its own child, though one ignores the polite signal."""
    script = f"""{EMIT}
import signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen(["sleep", "60"])  # inherits that the signal is ignored
if {stubborn == "grandchild"}:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
emit("phase", text=str(grandchild.pid))
time.sleep(60)
"""
    child = start(script, workspace.new_run(), lock)
    with pytest.raises(KeyboardInterrupt), child:
        for event in child.events():
            if event:
                grandchild = psutil.Process(int(event["text"]))
                raise KeyboardInterrupt
    expected = {"child": signal.SIGKILL, "grandchild": signal.SIGTERM}
    assert child.exit_code == -expected[stubborn]
    deadline = time.monotonic() + 5
    while grandchild.is_running() and grandchild.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_runner_ends_when_its_parent_is_gone(workspace: Workspace) -> None:
    arguments = ["--input-base=i", "--content-fingerprint=f"]
    run = workspace.new_run()
    run.config.touch()
    runner = subprocess.Popen(
        [
            *(sys.executable, "-m", "pipeline.local_runner", *arguments),
            f"--workspace={workspace.root}",
            f"--run-id={run.run_id}",
        ],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    time.sleep(1)  # it is importing TensorFlow
    assert runner.poll() is None
    assert runner.stdin is not None
    runner.stdin.close()  # as the system does for a parent that was killed
    assert runner.wait(60) == 1  # a library that is being loaded holds the interpreter
