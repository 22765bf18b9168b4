"""Schedules are created exactly once, paused, resumed and deleted."""

from __future__ import annotations

import datetime

import pytest

from pipeline.kubeflow.server import runs, schedules
from pipeline.kubeflow.server.client import SCHEDULES, Client, Version
from tests.fixtures.kfp_server import Fault, State
from tests.pipeline.kubeflow.server.conftest import NAME
from trainer.errors import UserError


@pytest.mark.parametrize("kind", ["half", 503])
def test_a_schedule_is_created_once_paused_and_deleted(
    client: Client, state: State, version: Version, kind: int | str
) -> None:
    state.faults["POST recurringruns"] = Fault(kind, after=True)
    wanted = schedules.Schedule(name="daily", expression="0 0 3 * * *")
    settings = runs.RunSettings(span="yesterday")
    schedules.create(client, version, NAME, wanted, settings)
    (found,) = state.recurringruns.values()
    assert found["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert (found["no_catchup"], found["max_concurrency"]) == (True, "1")
    assert found["runtime_config"] == {"parameters": {"span": "yesterday"}}
    with pytest.raises(UserError, match="There is a schedule 'daily' already"):
        schedules.check_name(client, "daily")
    schedules.set_enabled(client, "daily", enabled=False)
    assert found["status"] == "DISABLED"
    state.faults[r"POST recurringruns/.*"] = Fault("half", after=True)
    schedules.set_enabled(client, "daily", enabled=True)
    assert found["status"] == "ENABLED"
    schedules.delete(client, "daily")
    assert list(client.items(SCHEDULES)) == []


@pytest.mark.parametrize("span", ["latest", "2026-03-01", "12", "[[ScheduledTime]]"])
def test_a_schedule_takes_no_span_that_stays_the_same(span: str) -> None:
    """tfx#4273, community#349: "latest" would train on old data again."""
    with pytest.raises(UserError, match="Give --span yesterday, today or today-3"):
        schedules.check_span(span)
    schedules.check_span("yesterday")
    schedules.check_span("today-3")


def test_a_run_of_today_is_the_same_day_whenever_its_steps_run(
    client: Client, state: State, version: Version
) -> None:
    before = datetime.datetime.now(datetime.timezone.utc).date()
    runs.start(client, version, NAME, runs.RunSettings(span="today"))
    after = datetime.datetime.now(datetime.timezone.utc).date()
    (run,) = state.runs.values()
    assert run["runtime_config"]["parameters"]["span"] in {str(before), str(after)}
