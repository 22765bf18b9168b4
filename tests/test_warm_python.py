"""Forks that stand for new interpreters are processes as `subprocess` makes them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.command import REPOSITORY, environment
from tests.fixtures.warm_python import WarmPython, warm_python


@pytest.fixture(scope="module")
def python() -> Iterator[WarmPython]:
    """One that has imported nothing of TFX, which takes no time."""
    with warm_python(preloaded=("json",)) as python:
        yield python


def test_a_child_is_its_parents_with_what_popen_gives_it(
    python: WarmPython, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.fixtures.starts_a_child", str(tmp_path)]
    done = python.run(command, cwd=tmp_path, env=environment())
    assert (done.returncode, done.stderr) == (7, "")
    parent, child = map(int, done.stdout.split())
    found = json.loads((tmp_path / "log").read_text())
    assert "tests.fixtures.warm_python" in found["command"], "it was forked"
    assert (found["pid"], found["parent"]) == (child, parent)
    assert found["session"] == child
    assert (found["mark"], found["input"]) == ("child", "go on")
    assert found["cwd"] == str(tmp_path)
    assert str(tmp_path / "lock") in found["open"]
    # The end of the parent closes it: nothing else holds the other end.
    assert sum(path.startswith("pipe:") for path in found["open"]) == 1


def test_a_command_has_its_own_environment_folder_and_exit_code(
    python: WarmPython, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "pipeline", "runs"]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        env = environment(TWO_TOWER_WORKSPACE=name)
        done = python.run(command, cwd=tmp_path / name, env=env)
        assert done.returncode == 1
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert f"{name}/{name}" in line
    assert "TWO_TOWER_WORKSPACE" not in os.environ
    done = python.run([*command, "--no-such"], cwd=REPOSITORY, env=environment())
    assert done.returncode == 2
