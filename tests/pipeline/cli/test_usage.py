"""Help, exit codes and messages for wrong input: real processes, without TensorFlow."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.command import environment, error_line, two_tower
from tests.fixtures.movielens_files import write_csv
from tests.fixtures.served_versions import graph
from tests.pipeline.serving.test_client import write_info

COMMANDS = ("run", "tune", "recommend", "config", "data", "doctor")


def test_help_lists_the_commands_at_once(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = two_tower("--help", cwd=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time: other processes must not fail it. It takes 0.1 s.
    assert after.ru_utime - before.ru_utime < 0.5
    assert done.returncode == 0
    for command in COMMANDS:
        assert command in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_shows_examples(tmp_path: Path, command: str) -> None:
    done = two_tower(command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Examples:" in done.stdout
    assert f"two-tower {command}" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    script = """
import sys
from pipeline.cli import main, COMMANDS
for name in ("run", "tune", "runs", "schedule", "deploy"):
    main([name, "--help"], standalone_mode=False)
# Half a second, which the help of the most used commands does not need.
slow = {"numpy", "pydantic", "pooch"} & set(sys.modules)
for arguments in (["--help"], *([name, "--help"] for name in COMMANDS)):
    main(arguments, standalone_mode=False)
heavy = {"tensorflow", "tfx", "apache_beam", "pyarrow", "pandas"} & set(sys.modules)
sys.exit(",".join(heavy | slow) or 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    assert "two-tower, version " in two_tower("--version", cwd=tmp_path).stdout


def test_config_prints_what_it_reads_back(tmp_path: Path) -> None:
    first = two_tower("config", "--set", "train.epochs=3", cwd=tmp_path)
    (tmp_path / "mine.yaml").write_text(first.stdout)
    second = two_tower("config", "-c", "mine.yaml", cwd=tmp_path)
    assert "epochs: 3" in second.stdout
    assert second.stdout == first.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--dataset", "ml-2m"], "unknown dataset 'ml-2m'. Known: ml-100k"),
        (["run", "--set", "train.epohs=3"], "Did you mean train.epochs?"),
        (["run", "--config", "none.yaml"], "none.yaml cannot be read"),
        (["run", "--data-dir", "none"], "none is not a folder"),
    ],
)
def test_usage_errors_create_no_file(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    assert message in error_line(two_tower(*arguments, cwd=tmp_path), exit_code=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["dance"],
        ["run", "--dance"],
        ["recommend"],
        ["recommend", "--user", "1", "--history", "2"],
        ["recommend", "--history", " , "],
        ["recommend", "--user", "1", "-k", "ten"],
    ],
)
def test_wrong_options_are_usage_errors(tmp_path: Path, arguments: list[str]) -> None:
    done = two_tower(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("Error: ")


def test_data_that_cannot_be_used_starts_no_run(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = two_tower("run", "--data-dir", "empty", cwd=tmp_path)
    assert "empty holds no MovieLens files" in error_line(done, exit_code=1)

    half = write_csv(tmp_path / "half", [(1, 1, 4.0, 1)], movies=())
    done = two_tower("run", "--data-dir", half, cwd=tmp_path)
    assert "half has no movies" in error_line(done, exit_code=1)
    assert not (tmp_path / "workspace" / "runs").exists()


def test_fetched_data_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "workspace" / "data" / "ml-100k"
    folder.mkdir(parents=True)
    for name in ("u.data", "u.item", "u.user"):
        (folder / name).write_text("1\t1\t5\t881250949\n")
    message = error_line(two_tower("run", cwd=tmp_path), exit_code=1)
    assert "u.data has md5" in message
    assert "Delete" in message


@pytest.mark.parametrize("command", [["run"], ["recommend", "--user", "1"]])
def test_a_workspace_of_another_version_is_refused(
    tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "workspace.json").write_text('{"format": 99}')
    done = two_tower(*command, "--workspace", "ws", cwd=tmp_path)
    assert "has format 99" in error_line(done, exit_code=1)
    assert [path.name for path in (tmp_path / "ws").iterdir()] == ["workspace.json"]


def test_a_workspace_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for path in ("file", "file/below"):
        done = two_tower("run", "--workspace", path, cwd=tmp_path)
        assert "--workspace" in error_line(done, exit_code=1)
    assert (tmp_path / "file").read_text() == "precious"


def test_the_workspace_can_come_from_the_environment(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "recommend", "--user", "1"],
        cwd=tmp_path,
        env=environment(TWO_TOWER_WORKSPACE="elsewhere"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "elsewhere" in error_line(done, exit_code=1)


def test_serve_refuses_an_object_store(tmp_path: Path) -> None:
    done = two_tower("serve", "--serving-dir", "gs://bucket/serving", cwd=tmp_path)
    assert done.returncode == 2
    assert "gs://bucket/serving, but this server reads only folders" in done.stderr


def test_recommend_needs_a_pushed_model(tmp_path: Path) -> None:
    done = two_tower("recommend", "--user", "1", cwd=tmp_path)
    assert "`two-tower run`" in error_line(done, exit_code=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("k", ["0", "-1", "5"])
def test_k_is_checked_before_tensorflow_is_imported(tmp_path: Path, k: str) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "workspace.json").write_text(json.dumps({"format": 1}))
    model = write_info(tmp_path / "workspace" / "serving" / "1")
    (model / "saved_model.pb").write_bytes(graph("no model"))
    # TensorFlow would say that the model is empty.
    done = two_tower("recommend", "--user", "1", "-k", k, cwd=tmp_path)
    assert "from 1 to 4" in error_line(done, exit_code=2)
