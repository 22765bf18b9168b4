"""`compile`, `deploy`, `run --kubeflow` and `schedule` as a user meets them."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from tests.fixtures import command
from tests.fixtures.kfp_server import State, serving

CLICK_MIXES_STREAMS = "mix_stderr" in inspect.signature(CliRunner).parameters


@pytest.fixture
def state() -> State:
    return State(token="s3cr3t")


@pytest.fixture
def url(state: State) -> Iterator[str]:
    with serving(state) as address:
        yield address


def settings(cwd: Path, url: str | None, token: str) -> dict[str, str]:
    """The server and the token, as environment variables."""
    found = {"TWO_TOWER_KFP_TOKEN": token, "KUBECONFIG": str(cwd / "none")}
    found["XDG_CONFIG_HOME"] = str(cwd / "none")  # no schedules of this machine
    return found if url is None else {**found, "TWO_TOWER_KFP_ENDPOINT": url}


def two_tower(
    *arguments: object, cwd: Path, url: str | None = None, token: str = "s3cr3t"
) -> subprocess.CompletedProcess[str]:
    """Runs a command in this process, which saves the start of another one."""
    separate = {"mix_stderr": False} if CLICK_MIXES_STREAMS else {}
    environment: dict[str, str | None] = {
        **settings(cwd, url, token),
        "COLUMNS": "160",
        "KUBERNETES_SERVICE_HOST": None,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        # Read from KUBECONFIG when the module is imported.
        location = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
        patch.setattr(location, str(cwd / "none"))
        outcome = CliRunner(**separate).invoke(
            main, [*map(str, arguments)], env=environment
        )
    if not isinstance(outcome.exception, SystemExit | None):
        raise outcome.exception
    assert "s3cr3t" not in outcome.stdout + outcome.stderr
    return subprocess.CompletedProcess(
        arguments, outcome.exit_code, outcome.stdout, outcome.stderr
    )


def two_tower_process(
    *arguments: object, cwd: Path, url: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command that imports TFX, in a process of its own."""
    kept = command.environment(**settings(cwd, url, "s3cr3t"))
    kept.pop("KUBERNETES_SERVICE_HOST", None)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        cwd=cwd,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "s3cr3t" not in done.stdout + done.stderr
    return done


def add_schedule(state: State, name: str, status: str = "ENABLED") -> None:
    state.recurringruns[f"id-of-{name}"] = {
        "recurring_run_id": f"id-of-{name}",
        "display_name": name,
        "status": status,
        "trigger": {"cron_schedule": {"cron": "0 0 3 * * *"}},
        "runtime_config": {"parameters": {"span": "yesterday"}},
    }


def test_schedules_are_listed_in_words(state: State, url: str, tmp_path: Path) -> None:
    empty = two_tower("schedule", "list", cwd=tmp_path, url=url)
    assert (empty.returncode, empty.stdout) == (0, "")
    for name in ("daily", "other", "third"):
        add_schedule(state, name)
    done = two_tower("schedule", "list", cwd=tmp_path, url=url)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
    line = next(line for line in done.stdout.splitlines() if "daily" in line)
    assert " ".join(line.split()) == (
        "daily kubeflow enabled 0 0 3 * * * at 03:00:00 every day, span yesterday"
    )


def test_a_schedule_is_paused_resumed_and_deleted(
    state: State, url: str, tmp_path: Path
) -> None:
    add_schedule(state, "daily")
    assert not two_tower("schedule", "pause", "daily", cwd=tmp_path, url=url).returncode
    assert state.recurringruns["id-of-daily"]["status"] == "DISABLED"
    assert not two_tower(
        "schedule", "resume", "daily", cwd=tmp_path, url=url
    ).returncode
    assert state.recurringruns["id-of-daily"]["status"] == "ENABLED"
    assert not two_tower(
        "schedule", "delete", "daily", cwd=tmp_path, url=url
    ).returncode
    assert state.recurringruns == {}
    gone = two_tower("schedule", "delete", "daily", cwd=tmp_path, url=url)
    assert "There is no schedule 'daily'" in command.error_line(gone, 1)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (
            ("schedule", "list", "--endpoint", "nowhere"),
            2,
            "is not an http:// or https:// URL",
        ),
        (("schedule", "list"), 2, "No Kubeflow Pipelines server is named"),
        (("deploy", "--endpoint", "http://127.0.0.1:9"), 1, "cannot be reached"),
        (("deploy", "--token-file", "none"), 1, "The token in none cannot be read"),
        (("run", "--wait"), 2, "belong to --kubeflow"),
        (("run", "--kubeflow", "--data-dir", "."), 2, "which the cluster cannot read"),
        (
            ("compile", "--target", "vertex"),
            2,
            "Vertex AI reads and writes only at gs://",
        ),
        (
            ("schedule", "create", "--cron", "0 3 * * *", "--span", "yesterday"),
            2,
            "has five fields",
        ),
        (
            ("schedule", "create", "--cron", "0 0 3 * * *", "--span", "latest"),
            2,
            "trains on old data again",
        ),
        (
            ("schedule", "create", "--cron", "0 0 3 * * *", "--span", "yesterday")
            + ("--catch-up",),
            2,
            "does not pass a run the missed day that it stands for",
        ),
        (
            ("schedule", "create", "--cron", "0 0 3 * * *", "--span", "yesterday")
            + ("--time-zone", "Mars/Olympus"),
            2,
            "There is no time zone 'Mars/Olympus'",
        ),
        (
            ("schedule", "create", "--cron", "0 0 3 * * *", "--span", "today")
            + ("--end", "2020-01-01"),
            2,
            "before it starts",
        ),
        (
            ("schedule", "create", "--cron", "0 0 3 * * *", "--span", "today")
            + ("--data-dir", "ratings"),
            2,
            "--data-dir belongs to a schedule of this machine",
        ),
    ],
)
def test_each_error_is_one_line(
    arguments: tuple[str, ...], exit_code: int, message: str, tmp_path: Path
) -> None:
    done = two_tower(*arguments, cwd=tmp_path)
    assert message in command.error_line(done, exit_code)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_token_is_one_line(url: str, tmp_path: Path) -> None:
    done = two_tower("schedule", "list", cwd=tmp_path, url=url, token="wrong")
    line = command.error_line(done, 1)
    assert "authentication failed (401): Unauthenticated" in line


def test_a_file_is_checked_without_compiling(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("schemaVersion: 2.0.0\nroot: {}\n")
    done = two_tower("compile", "--check", "x.yaml", cwd=tmp_path)
    assert "schema version: it is 2.0.0, not 2.1.0" in done.stdout
    assert "breaks 3 of the server's rules" in command.error_line(done, 1)


@pytest.mark.slow
def test_from_a_fresh_server_to_a_schedule(
    state: State, url: str, tmp_path: Path
) -> None:
    """Deployed once, run to its end, scheduled: always the same version."""
    deployed = two_tower("deploy", cwd=tmp_path, url=url)
    assert deployed.returncode == 0, deployed.stderr
    assert re.search(r"version [0-9a-f]{12} \(uploaded\)", deployed.stdout)
    state.story = [
        {
            "state": "FAILED",
            "run_details": {
                "task_details": [
                    {
                        "display_name": "Trainer",
                        "state": "FAILED",
                        "error": {"message": "no memory"},
                    }
                ]
            },
        }
    ]
    run = two_tower("run", "--kubeflow", "--wait", cwd=tmp_path, url=url)
    assert run.returncode == 1
    assert "already on the server" in run.stdout
    assert re.search(r"Trainer +failed: no memory", run.stdout)
    made = two_tower(
        *("schedule", "create", "--cron", "0 0 3 * * *", "--span", "yesterday"),
        cwd=tmp_path,
        url=url,
    )
    assert made.returncode == 0, made.stderr
    assert "two-tower: at 03:00:00 every day" in made.stdout
    assert len(state.versions) == len(state.recurringruns) == 1
    (text,) = state.files.values()
    assert "s3cr3t" not in text
    assert not [key for key in os.listdir(tmp_path) if key != "none"]


@pytest.mark.slow
def test_a_pinned_span_goes_with_the_run(
    state: State, url: str, tmp_path: Path
) -> None:
    done = two_tower_process(
        "run", "--kubeflow", "--span", "2026-03-01", cwd=tmp_path, url=url
    )
    assert done.returncode == 0, done.stderr
    (run,) = state.runs.values()
    assert run["runtime_config"] == {"parameters": {"span": "2026-03-01"}}
    assert f"{url}/#/runs/details/{run['run_id']}\n" in done.stdout


@pytest.mark.parametrize("more", [("-o", "x.yaml"), ("--target", "vertex")])
def test_a_check_takes_no_options_of_a_compilation(
    tmp_path: Path, more: tuple[str, str]
) -> None:
    (tmp_path / "p.yaml").touch()
    done = two_tower("compile", "--check", "p.yaml", *more, cwd=tmp_path)
    assert done.returncode == 2
    assert "--check compiles no file for a target" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["p.yaml"]
