"""`two-tower schedule`."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import ConfigOptions, config_options
from pipeline.cli.server_options import (
    Server,
    experiment_options,
    server_options,
    upload,
)

if TYPE_CHECKING:
    from pipeline.kubeflow.server.client import Client


@click.group()
def schedule() -> None:
    """Retrain on Kubeflow at fixed times.

    \b
    Examples:
      two-tower schedule create --cron '0 0 3 * * *' --span yesterday
      two-tower schedule list
      two-tower schedule pause two-tower
    """


@schedule.command()
@config_options
@click.option(
    "--cron",
    "expression",
    required=True,
    help="Six fields: second, minute, hour, day of month, month, day of week.",
)
@click.option(
    "--span",
    required=True,
    help="Last span of each run: yesterday, today or today-3, in UTC.",
)
@click.option("--name", help="Of the schedule.  [default: the pipeline's name]")
@click.option("--start", type=click.DateTime(), help="First moment, in UTC.")
@click.option("--end", type=click.DateTime(), help="Last moment, in UTC.")
@click.option(
    "--max-concurrency",
    type=click.IntRange(1, 10),
    default=1,
    show_default=True,
    help="Runs at the same time.",
)
@click.option("--catch-up", is_flag=True, help="Make up for moments that were missed.")
@experiment_options
@server_options
def create(
    *,
    options: ConfigOptions,
    expression: str,
    span: str,
    name: str | None,
    start: datetime.datetime | None,
    end: datetime.datetime | None,
    max_concurrency: int,
    catch_up: bool,
    experiment: str | None,
    service_account: str | None,
    server: Server,
) -> None:
    """Upload the pipeline and run it at fixed times.

    Each run counts its span from its own day. A day without data is an error, and not
    the day before once more.

    \b
    Examples:
      two-tower schedule create --cron '0 0 3 * * *' --span yesterday
      two-tower schedule create --cron '0 30 4 * * MON' --span today-2 --name weekly
    """
    from pipeline.kubeflow.server import cron, runs, schedules

    config = options.load()
    schedules.check_span(span)
    wanted = schedules.Schedule(
        name=name or config.name,
        expression=cron.check(expression),
        max_concurrency=max_concurrency,
        catch_up=catch_up,
        start=start,
        end=end,
    )
    client = server.connect()
    schedules.check_name(client, wanted.name)
    version = upload(client, config)
    submission = runs.Submission(experiment, service_account, span)
    schedules.create(client, version, config.name, wanted, submission)
    click.echo(
        f"{'Schedule':<10}{wanted.name}: {cron.in_words(wanted.expression)}, "
        "in the time zone of the server (UTC unless it says otherwise)"
    )


@schedule.command(name="list")
@server_options
def list_(*, server: Server) -> None:
    """List the schedules of the namespace."""
    from pipeline.kubeflow.server import cron, schedules

    found = schedules.listed(server.connect())
    if not found:
        click.echo("No schedules. `two-tower schedule create` makes one.", err=True)
    for item in found:
        expression = item.get("trigger", {}).get("cron_schedule", {}).get("cron", "")
        when = cron.in_words(expression) if len(expression.split()) == 6 else "?"  # noqa: PLR2004
        values = item.get("runtime_config", {}).get("parameters", {})
        state = str(item.get("status", "")).lower()
        click.echo(
            f"{item.get('display_name', ''):<24}{state:<10}{expression:<20}{when}, "
            f"span {values.get('span', '?')}"
        )


@schedule.command()
@click.argument("name")
@server_options
def pause(*, name: str, server: Server) -> None:
    """Start no more runs until the schedule NAME is resumed."""
    from pipeline.kubeflow.server import schedules

    client = server.connect()
    schedules.switch(client, _id(client, name), enabled=False)
    click.echo(f"{name} is paused.")


@schedule.command()
@click.argument("name")
@server_options
def resume(*, name: str, server: Server) -> None:
    """Let the schedule NAME go on."""
    from pipeline.kubeflow.server import schedules

    client = server.connect()
    schedules.switch(client, _id(client, name), enabled=True)
    click.echo(f"{name} goes on.")


@schedule.command()
@click.argument("name")
@server_options
def delete(*, name: str, server: Server) -> None:
    """Delete the schedule NAME; its runs stay."""
    from pipeline.kubeflow.server import schedules

    client = server.connect()
    schedules.delete(client, _id(client, name))
    click.echo(f"{name} is deleted.")


def _id(client: Client, name: str) -> str:
    """The id of a schedule.

    Raises:
      UserError: There is none of that name.
    """
    from pipeline.kubeflow.server import schedules
    from trainer.errors import UserError

    found: dict[str, Any] | None = schedules.find(client, name)
    if found is None:
        names = ", ".join(str(s["display_name"]) for s in schedules.listed(client))
        raise UserError(
            f"There is no schedule {name!r}",
            f"There {'are ' + names if names else 'is none at all'}.",
        )
    return str(found["recurring_run_id"])
