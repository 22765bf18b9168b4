from __future__ import annotations

import time

from pipeline.local.live_run import LiveRun
from pipeline.runs.run_record import Artifact
from trainer.progress import Event


def run_after(*events: Event) -> LiveRun:
    run = LiveRun("r")
    for event in ({"kind": "pipeline", "nodes": ["Gate", "Trainer"]}, *events):
        run.update(event)
    return run


def step(name: str, state: str, **fields: object) -> Event:
    return {"kind": "step", "id": name, "state": state, "time": 100.0, **fields}


def test_steps_wait_run_and_end() -> None:
    outputs = {"report": {"uri": "/a", "properties": {"anomalies": 0}}}
    run = run_after(step("Gate", "running"))
    assert run.running is run.steps["Gate"] and run.running.started == 100.0
    run.update(step("Gate", "done", seconds=1.5, figure="fine", outputs=outputs))
    gate = run.steps["Gate"]
    assert (gate.state, gate.seconds, gate.headline) == ("done", 1.5, "fine")
    assert run.output("report") == Artifact("/a", {"anomalies": 0})
    assert run.running is None and run.steps["Trainer"].state == "waiting"


def test_the_error_of_the_step_wins_over_that_of_the_run() -> None:
    run = run_after(
        {"kind": "error", "step": "Gate", "cause": "rating 99.", "remedy": "Fix it."},
        {"kind": "error", "step": None, "cause": "Execution 7 failed", "remedy": ""},
    )
    assert run.error == "rating 99. Fix it."


def test_a_run_without_an_error_event_fails_in_its_running_step() -> None:
    run = run_after(step("Gate", "running"))
    run.steps["Gate"].started = time.time() - 2
    event = run.fail("the run was killed", "Free some memory.")
    assert (event["id"], event["state"], run.state) == ("Gate", "failed", "failed")
    assert 2 <= run.steps["Gate"].seconds < 10
    assert LiveRun("r").fail("killed", "")["kind"] == "error"


def test_of_two_steps_the_later_is_shown_and_both_fail() -> None:
    later = step("Trainer", "running") | {"time": 101.0}
    run = run_after(step("Gate", "running"), later)
    assert run.running is run.steps["Trainer"]
    assert run.fail("the run was killed", "")["id"] == "Trainer"
    assert [each.state for each in run.steps.values()] == ["failed", "failed"]


def test_a_failure_stays_the_cause_if_the_run_is_interrupted_later() -> None:
    """Another step goes on beside the one that failed."""
    run = run_after(
        step("Gate", "running"),
        step("Trainer", "running"),
        step("Trainer", "failed", seconds=1.0),
        {"kind": "error", "step": "Trainer", "cause": "no rows.", "remedy": ""},
    )
    assert run.fail("the run was interrupted", "Run it again.")["id"] == "Gate"
    assert (run.error, run.steps["Gate"].state) == ("no rows.", "failed")
