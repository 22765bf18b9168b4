"""Schedules of the pipeline on a server, which calls them recurring runs."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from pipeline.kubeflow import run_day
from pipeline.kubeflow.server.client import SCHEDULES, Client, Version
from pipeline.kubeflow.server.errors import UnknownOutcomeError
from pipeline.kubeflow.server.runs import RunSettings
from trainer.errors import UsageError, UserError


@dataclass(frozen=True)
class Schedule:
    """When the pipeline runs.

    Attributes:
      expression: Six-field cron.
      name: Name of the schedule; None for the pipeline's.
      max_concurrency: Most runs at the same time.
      start: First moment, in UTC; None for now.
      end: Last moment, in UTC; None for no end.
    """

    expression: str
    name: str | None = None
    max_concurrency: int = 1
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None

    def __post_init__(self) -> None:
        """Rejects a schedule that would never run.

        Raises:
          UsageError: It ends before it starts, or has ended already.
        """
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        if self.end is not None and self.end <= (self.start or now):
            raise UsageError(
                f"The schedule would end at {self.end}, before it starts",
                "Give --end a moment after --start and after now, in UTC.",
            )


def check_span(span: str) -> None:
    """Rejects a span that is the same in every run of a schedule.

    Raises:
      UsageError: It is not counted from the day of the run.
    """
    remedy = "Give --span yesterday, today or today-3, which each run counts from its "
    if span == "latest":
        raise UsageError(
            "A schedule with the latest span trains on old data again, without notice, "
            "whenever no new data has arrived",
            f"{remedy}own day; a day without data is then an error.",
        )
    if not run_day.is_relative(span):
        raise UsageError(
            f"The span {span!r} would be the same in every run of the schedule",
            f"{remedy}own day.",
        )


def check_name(client: Client, name: str) -> None:
    """Rejects the name of an existing schedule.

    Raises:
      UserError: There is a schedule of that name.
    """
    if client.find(SCHEDULES, name) is not None:
        raise UserError(
            f"There is a schedule {name!r} already",
            f"Delete it with `two-tower schedule delete {name}`, or give --name "
            "another.",
        )


def create(
    client: Client,
    version: Version,
    pipeline: str,
    schedule: Schedule,
    settings: RunSettings,
) -> str:
    """Creates a schedule; returns its id."""
    trigger = {"cron": schedule.expression}
    for key, moment in (("start_time", schedule.start), ("end_time", schedule.end)):
        if moment is not None:
            trigger[key] = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    body = settings.body(client, version, pipeline) | {
        "display_name": schedule.name or pipeline,
        "mode": "ENABLE",
        "max_concurrency": str(schedule.max_concurrency),
        # A run that is made up for does not get its day: see `run_day`.
        "no_catchup": True,
        "trigger": {"cron_schedule": trigger},
    }
    return client.create(SCHEDULES, body)


def _path(client: Client, name: str) -> str:
    schedules = list(client.items(SCHEDULES))
    for item in schedules:
        if item.get("display_name") == name:
            return f"{SCHEDULES.path}/{item[SCHEDULES.id]}"
    names = ", ".join(str(item.get("display_name")) for item in schedules)
    raise UserError(
        f"There is no schedule {name!r}",
        f"Choose one of: {names}."
        if names
        else "Create one with `two-tower schedule create`.",
    )


def set_enabled(client: Client, name: str, *, enabled: bool) -> None:
    """Pauses a schedule, or resumes it.

    Raises:
      UserError: There is no schedule of that name.
    """
    path = f"{_path(client, name)}:{'enable' if enabled else 'disable'}"
    try:
        client.request("POST", path, {})
    except UnknownOutcomeError:
        # Repeating it does no harm.
        client.request("POST", path, {})


def delete(client: Client, name: str) -> None:
    """Deletes a schedule; its runs stay.

    Raises:
      UserError: There is no schedule of that name.
    """
    client.request("DELETE", _path(client, name))
