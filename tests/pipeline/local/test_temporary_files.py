"""The folder for the temporary files of a run, and what a killed run leaves in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.local.temporary_files import temporary_folder
from tests.fixtures.command import environment


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_is_gone_after_the_run(parent: Path) -> None:
    with temporary_folder() as (folder, _):
        (folder / "beam").mkdir()
        assert folder.parent == parent
    assert not list(parent.iterdir())


def test_what_a_killed_run_left_is_removed_by_the_next(parent: Path) -> None:
    program = """
import os, signal
from pipeline.local.temporary_files import temporary_folder
with temporary_folder() as (folder, _):
    (folder / "__autograph_generated_file.py").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(TMPDIR=str(parent)),
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    [left] = parent.iterdir()
    assert list(left.iterdir())
    with temporary_folder():
        assert not left.exists()


def test_a_folder_in_use_is_kept() -> None:
    with temporary_folder() as (folder, _), temporary_folder() as (other, _):
        assert folder.exists() and other != folder


def test_nothing_else_in_the_parent_is_touched(parent: Path) -> None:
    others = [parent / "two-tower-run-link", parent / "two-tower-run-file"]
    (parent / "elsewhere").mkdir()
    others[0].symlink_to(parent / "elsewhere")
    others[1].touch()
    with temporary_folder():
        pass
    assert all(map(os.path.lexists, others)) and (parent / "elsewhere").exists()
