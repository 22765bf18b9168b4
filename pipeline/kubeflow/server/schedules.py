"""Schedules on a server, which it calls recurring runs."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any, Final

from pipeline.kubeflow.server.client import Client, Version, once
from pipeline.kubeflow.server.rest import Json
from pipeline.kubeflow.server.rest_errors import Unanswered
from pipeline.kubeflow.server.runs import Submission, is_pinned
from trainer.errors import UsageError, UserError

_RELATIVE: Final = re.compile(r"(today|yesterday)(-[0-9]{1,4})?")


@dataclass(frozen=True)
class Schedule:
    """When a pipeline runs again.

    Attributes:
      name: Of the schedule.
      expression: Six-field cron.
      max_concurrency: Runs at the same time.
      catch_up: Whether ticks are made up for that were missed.
      start: First moment, in UTC; None for now.
      end: Last moment, in UTC; None for never.
    """

    name: str
    expression: str
    max_concurrency: int = 1
    catch_up: bool = False
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None

    def __post_init__(self) -> None:
        """Refuses a schedule that would never run.

        Raises:
          UsageError: It ends before it starts, or has ended already.
        """
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        if self.end is not None and self.end <= (self.start or now):
            raise UsageError(
                f"The schedule would end at {self.end}, before it starts",
                "Give --end a moment after --start and after now, in UTC.",
            )

    def body(self) -> Json:
        """What the server wants to know of it."""
        trigger: dict[str, Any] = {"cron": self.expression}
        for key, moment in (("start_time", self.start), ("end_time", self.end)):
            if moment is not None:
                trigger[key] = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
        return {
            "display_name": self.name,
            "mode": "ENABLE",
            "max_concurrency": str(self.max_concurrency),
            "no_catchup": not self.catch_up,
            "trigger": {"cron_schedule": trigger},
        }


def check_span(span: str) -> None:
    """Refuses a span that is the same in every run of a schedule.

    Raises:
      UsageError: It is a fixed one, `latest`, or none at all.
    """
    if span == "latest":
        raise UsageError(
            "A schedule of the latest span runs on old data again, without a word, "
            "whenever no new one has come",
            "Give --span yesterday, today or today-3: a day without data is an error.",
        )
    if is_pinned(span) or not _RELATIVE.fullmatch(span):
        raise UsageError(
            f"The span {span!r} would be the same in every run of the schedule",
            "Give --span yesterday, today or today-3, which each run counts from its "
            "own day, in UTC.",
        )


def check_name(client: Client, name: str) -> None:
    """Refuses a name that is taken.

    Raises:
      UserError: There is a schedule of that name.
    """
    if find(client, name) is not None:
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
    submission: Submission,
) -> str:
    """Creates a schedule, once; returns its id."""
    body = submission.body(client, version, pipeline)
    body |= schedule.body()

    def found() -> str | None:
        item = find(client, schedule.name)
        return None if item is None else str(item["recurring_run_id"])

    return once(
        lambda: str(client.rest.post("recurringruns", body)["recurring_run_id"]), found
    )


def listed(client: Client) -> list[Json]:
    """All schedules of the namespace."""
    return list(client.pages("recurringruns", "recurringRuns", **client.scope))


def find(client: Client, name: str) -> Json | None:
    """The schedule of a name; None where there is none."""
    return client.named(name, "recurringruns", "recurringRuns", **client.scope)


def switch(client: Client, schedule_id: str, *, enabled: bool) -> None:
    """Pauses a schedule, or lets it go on."""
    path = f"recurringruns/{schedule_id}:{'enable' if enabled else 'disable'}"
    try:
        client.rest.post(path, {})
    except Unanswered:
        # To set a switch twice is to set it once.
        client.rest.post(path, {})


def delete(client: Client, schedule_id: str) -> None:
    """Deletes a schedule; its runs stay."""
    client.rest.delete(f"recurringruns/{schedule_id}")
