"""`two-tower schedule`."""

from __future__ import annotations

import datetime

import click

from pipeline.cli.options import ConfigOptions, config_options
from pipeline.cli.server_options import (
    Server,
    experiment_option,
    server_options,
    service_account_option,
    upload,
)
from pipeline.cli.tables import print_table
from pipeline.kubeflow.server import cron, runs, schedules
from pipeline.kubeflow.server.client import SCHEDULES


@click.group()
def schedule() -> None:
    """Retrain on Kubeflow on a schedule.

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
@click.option("--name", help="Name of the schedule.  [default: the pipeline's name]")
@click.option("--start", type=click.DateTime(), help="First moment, in UTC.")
@click.option("--end", type=click.DateTime(), help="Last moment, in UTC.")
@click.option(
    "--max-concurrency",
    type=click.IntRange(1, 10),
    default=1,
    show_default=True,
    help="Most runs at the same time.",
)
@click.option("--catch-up", is_flag=True, help="Start the runs that were missed, too.")
@experiment_option
@service_account_option
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
    """Upload the pipeline and run it on a schedule.

    Each run counts its span from its own day. A run on a day without data fails; it
    does not train on the previous day's data again.

    \b
    Examples:
      two-tower schedule create --cron '0 0 3 * * *' --span yesterday
      two-tower schedule create --cron '0 30 4 * * MON' --span today-2 --name weekly
    """
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
    settings = runs.RunSettings(experiment, service_account, span)
    schedules.create(client, version, config.name, wanted, settings)
    click.echo(
        f"{'Schedule':<10}{wanted.name}: {cron.describe(wanted.expression)}, "
        "in the time zone of the server (UTC unless configured otherwise)"
    )


@schedule.command(name="list")
@server_options
def list_(*, server: Server) -> None:
    """List the schedules of the namespace."""
    found = list(server.connect().items(SCHEDULES))
    if not found:
        click.echo(
            "No schedules. Create one with `two-tower schedule create`.", err=True
        )
        return
    rows = []
    for item in found:
        expression = item.get("trigger", {}).get("cron_schedule", {}).get("cron", "")
        when = cron.describe(expression) if len(expression.split()) == 6 else "?"  # noqa: PLR2004
        span = item.get("runtime_config", {}).get("parameters", {}).get("span", "?")
        state = str(item.get("status", "")).lower()
        name = str(item.get("display_name", ""))
        rows.append((name, state, expression, f"{when}, span {span}"))
    print_table(("name", "state", "cron", "when"), rows, header=False)


@schedule.command()
@click.argument("name")
@server_options
def pause(*, name: str, server: Server) -> None:
    """Start no more runs until the schedule NAME is resumed."""
    client = server.connect()
    schedules.set_enabled(client, schedules.schedule_id(client, name), enabled=False)
    click.echo(f"{name} is paused.")


@schedule.command()
@click.argument("name")
@server_options
def resume(*, name: str, server: Server) -> None:
    """Start the runs of the schedule NAME again."""
    client = server.connect()
    schedules.set_enabled(client, schedules.schedule_id(client, name), enabled=True)
    click.echo(f"{name} is resumed.")


@schedule.command()
@click.argument("name")
@server_options
def delete(*, name: str, server: Server) -> None:
    """Delete the schedule NAME, but not its runs."""
    client = server.connect()
    schedules.delete(client, schedules.schedule_id(client, name))
    click.echo(f"{name} is deleted.")
