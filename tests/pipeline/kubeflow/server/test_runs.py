"""Runs are started exactly once and followed to their end."""

from __future__ import annotations

import pytest

from pipeline.kubeflow.server import runs
from pipeline.kubeflow.server.client import Client, Version
from tests.fixtures.kfp_server import Fault, State
from tests.pipeline.kubeflow.server.conftest import NAME
from trainer.errors import UserError


@pytest.mark.parametrize("kind", ["half", 503])
def test_a_run_is_started_once_with_its_span(
    client: Client, state: State, version: Version, kind: int | str
) -> None:
    state.faults["POST runs"] = Fault(kind, after=True)
    settings = runs.RunSettings(span="2026-03-01", service_account="runner")
    run_id = runs.start(client, version, NAME, settings)
    (run,) = state.runs.values()
    assert run["run_id"] == run_id
    assert run["runtime_config"] == {"parameters": {"span": "2026-03-01"}}
    assert run["service_account"] == "runner"
    (experiment,) = state.experiments.values()
    assert experiment["display_name"] == NAME


def test_an_unknown_experiment_is_rejected(
    client: Client, state: State, version: Version
) -> None:
    with pytest.raises(UserError, match="There is no experiment 'other'"):
        runs.start(client, version, NAME, runs.RunSettings(experiment="other"))
    assert state.runs == state.experiments == {}


def task(name: str, state: str, message: str = "") -> dict[str, object]:
    error = {"error": {"message": message}} if message else {}
    return {"display_name": name, "state": state, **error}


def test_a_run_is_followed_step_by_step(
    client: Client, state: State, version: Version
) -> None:
    run_id = runs.start(client, version, NAME, runs.RunSettings())
    state.story = [
        {
            "state": "RUNNING",
            "run_details": {"task_details": [task("root", "RUNNING")]},
        },
        {
            "state": "RUNNING",
            "run_details": {
                "task_details": [
                    task("Trainer", "RUNNING"),
                    task("Trainer-driver", "SUCCEEDED"),
                ]
            },
        },
        {
            "state": "FAILED",
            "error": {"message": "a step failed"},
            "run_details": {"task_details": [task("Trainer", "FAILED", "no disk")]},
        },
    ]
    state.faults[f"GET runs/{run_id}"] = Fault(500, times=2)
    lines: list[str] = []
    assert not runs.follow(client, run_id, lines.append, poll_seconds=0.01)
    assert [" ".join(line.split()) for line in lines] == [
        "Trainer running",
        "Trainer failed: no disk",
        f"Run {run_id} failed: a step failed",
    ]


def test_following_a_successful_run_returns_true(
    client: Client, state: State, version: Version
) -> None:
    run_id = runs.start(client, version, NAME, runs.RunSettings())
    state.story = [{"state": "SUCCEEDED"}]
    assert runs.follow(client, run_id, lambda _: None, poll_seconds=0.01)
