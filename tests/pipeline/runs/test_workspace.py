from __future__ import annotations

import errno
import json
import math
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.runs.workspace import Workspace
from pipeline.runs.workspace_lock import LockedError
from tests.fixtures.command import environment
from tests.fixtures.served_versions import graph
from trainer.errors import UserError


def test_a_new_workspace_is_marked(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "a" / "ws", create=True)
    assert json.loads((workspace.root / "workspace.json").read_text()) == {"format": 1}
    assert [p.name for p in workspace.root.iterdir()] == ["workspace.json"]
    assert Workspace.open(workspace.root) == workspace


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Workspace.open(Path("ws"), create=True).root == tmp_path / "ws"


def test_a_folder_with_fetched_data_can_become_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "data" / "ml-100k").mkdir(parents=True)
    Workspace.open(tmp_path, create=True)


@pytest.mark.parametrize(
    ("marker", "parts"),
    [
        ('{"format": 2}', ["format 2", "format 1", "--workspace"]),
        ("{}", ["damaged"]),
        ("[1]", ["damaged"]),
        ('{"for', ["damaged"]),
    ],
)
def test_another_format_is_refused_and_unchanged(
    tmp_path: Path, marker: str, parts: list[str]
) -> None:
    (tmp_path / "workspace.json").write_text(marker)
    for create in (False, True):
        with pytest.raises(UserError) as raised:
            Workspace.open(tmp_path, create=create)
        for part in parts:
            assert part in str(raised.value)
    assert (tmp_path / "workspace.json").read_text() == marker


def test_a_folder_with_other_files_is_refused_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        Workspace.open(tmp_path, create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("below", ["", "below"])
def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(UserError, match="file"):
        Workspace.open(file / below, create=True)
    assert file.read_text() == "precious"


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    # Not even root can make files there.
    with pytest.raises(UserError, match=r"/proc/\S+ cannot be written: .+--workspace"):
        Workspace.open(Path("/proc/two-tower"), create=True)


def test_a_missing_workspace_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two-tower run"):
        Workspace.open(tmp_path / "none")
    with pytest.raises(UserError, match=r"no workspace\.json"):
        Workspace.open(tmp_path)


def test_only_one_run_at_a_time(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws", create=True)
    with (
        workspace.lock(),
        pytest.raises(UserError, match=r"Another run \(process \d+, for 0 s: "),
        workspace.lock(),
    ):
        pass
    with workspace.lock():
        pass


def test_a_full_disk_does_not_keep_a_command_from_the_lock(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "w", create=True)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # no file can grow
    try:
        with workspace.lock(), pytest.raises(LockedError), workspace.lock():
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_subprocess_keeps_the_lock_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = """
import os, signal, subprocess, sys
from pathlib import Path
from pipeline.runs.workspace import Workspace
from pipeline.runs.workspace_lock import LockedError
with Workspace(Path(sys.argv[1])).lock() as lock:
    subprocess.Popen(["sh", "-c", "read x"], pass_fds=[lock], stdin=0)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    workspace = Workspace.open(tmp_path / "ws", create=True)
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(workspace.root)],
        stdin=subprocess.PIPE,
        env=environment(),
    )
    parent.wait(30)
    with pytest.raises(UserError, match="Another run"), workspace.lock():
        pass
    assert parent.stdin is not None
    parent.stdin.close()  # the child reads the end of its input, and ends


def test_run_ids_sort_by_time_and_latest_is_the_newest(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws", create=True)
    runs = [workspace.new_run() for _ in range(3)]
    assert [run.run_id for run in runs] == sorted({run.run_id for run in runs})
    for run in runs:
        run.publish()
        assert (workspace.runs_dir / "latest").resolve() == run.path
    names = {path.name for path in workspace.runs_dir.iterdir()}
    assert names == {*(run.run_id for run in runs), "latest"}


def test_the_newest_model_is_that_of_the_highest_version(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws", create=True)
    with pytest.raises(UserError, match="two-tower run"):
        workspace.live_model()
    for version in ("9", "10", ".11-part", "12"):
        (workspace.serving_dir / version).mkdir(parents=True)
        if version != "12":  # a folder without a model is not taken for one
            (workspace.serving_dir / version / "saved_model.pb").write_bytes(graph("x"))
    assert workspace.live_model().name == "10"


@pytest.mark.parametrize(
    "name", ["ws [v2] 100%", "a*", "b?", "c]", "d\\e", "f\ng", "h\x1b", "i\u202e"]
)
def test_a_path_that_the_steps_take_for_a_pattern_is_refused(
    tmp_path: Path, name: str
) -> None:
    for path in (tmp_path / name, tmp_path / name / "below"):
        with pytest.raises(UserError, match="has the character") as raised:
            Workspace.open(path, create=True)
        assert "--workspace" in str(raised.value) and "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == [], "nothing was made"


@pytest.mark.parametrize("name", ["100% {x} 'q\" :: é中 $HOME #a&b;c ~", "-x", " "])
def test_a_path_with_other_characters_is_taken(tmp_path: Path, name: str) -> None:
    """A whole run was done in such a folder."""
    assert Workspace.open(tmp_path / name, create=True).root == tmp_path / name


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    workspace = Workspace.open(tmp_path, create=True)
    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(UserError, match="has no file locks: No locks available"):
        with workspace.lock():
            pass


@pytest.mark.parametrize("content", ["", "\n", "\0" * 15])
def test_a_marker_that_a_power_cut_left_blank_locks_nobody_out(
    tmp_path: Path, content: str
) -> None:
    Workspace.open(tmp_path, create=True).new_run()
    (tmp_path / "workspace.json").write_text(content)
    assert Workspace.open(tmp_path).runs_dir.is_dir()
    assert Workspace.open(tmp_path, create=True).runs_dir.is_dir()
    assert json.loads((tmp_path / "workspace.json").read_text()) == {"format": 1}


@pytest.mark.parametrize(
    "name",
    [
        ".part-0123456789abcdef",
        ".workspace.json.4711",
        "workspace.json.tmp",
        "workspace.json~",
        "lost+found",
    ],
)
def test_what_a_killed_process_left_beside_the_marker_locks_nobody_out(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("")
    Workspace.open(tmp_path, create=True)


def test_a_blank_marker_among_other_files_makes_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "workspace.json").touch()
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        Workspace.open(tmp_path, create=True)


def test_who_is_refused_learns_whose_the_lock_is_and_since_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.open(tmp_path, create=True)
    monkeypatch.setattr(
        "sys.argv", ["/opt/bin/two-tower", "run", "--set", "x=https://me:pw@host"]
    )
    with workspace.lock():
        lock = tmp_path / ".lock"
        content = json.loads(lock.read_text())
        lock.write_text(json.dumps({**content, "since": content["since"] - 7500}))
        with pytest.raises(LockedError) as refused, workspace.lock():
            pass
    assert f"process {os.getpid()}, for 2 h 5 min: two-tower run" in str(refused.value)
    assert "me:pw" not in str(refused.value)


@pytest.mark.parametrize("content", ["", "4711", "{}", "[1]", '{"pid": "x"}', "\0\0"])
def test_a_lock_file_of_an_older_version_or_a_damaged_one_refuses_all_the_same(
    tmp_path: Path, content: str
) -> None:
    workspace = Workspace.open(tmp_path, create=True)
    with workspace.lock():
        (tmp_path / ".lock").write_text(content)
        with pytest.raises(LockedError, match="Another run"), workspace.lock():
            pass


def test_a_second_command_waits_for_the_first(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path, create=True)
    order, reports = list[str](), list[str]()
    got = threading.Event()

    def first() -> None:
        with workspace.lock():
            got.set()
            time.sleep(0.3)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    got.wait()
    with workspace.lock(wait=math.inf, report=reports.append):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert len(reports) == 1
    assert f"process {os.getpid()}" in reports[0]


def test_waiting_ends_after_the_given_time(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path, create=True)
    with workspace.lock(), pytest.raises(LockedError), workspace.lock(wait=0.3):
        pass
