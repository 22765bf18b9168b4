"""`two-tower schedule`."""

from __future__ import annotations

from dataclasses import replace

import click

from pipeline.cli.options import ConfigOptions, config_options, option_group
from pipeline.cli.server_options import (
    connect,
    run_settings_options,
    server_options,
    upload,
)
from pipeline.cli.tables import echo, print_table
from pipeline.kubeflow import run_day
from pipeline.kubeflow.server import cron, schedules
from pipeline.kubeflow.server.client import SCHEDULES
from pipeline.kubeflow.server.endpoint import Endpoint
from pipeline.kubeflow.server.runs import RunSettings
from trainer.errors import UsageError

# Passed, together with `--cron`, as `wanted: Schedule`.
_schedule_options = option_group(
    "wanted",
    schedules.Schedule,
    (
        click.option(
            "--name", help="Name of the schedule.  [default: the pipeline's name]"
        ),
        click.option("--start", type=click.DateTime(), help="First moment, in UTC."),
        click.option("--end", type=click.DateTime(), help="Last moment, in UTC."),
        click.option(
            "--max-concurrency",
            type=click.IntRange(1, 10),
            default=1,
            show_default=True,
            help="Most runs at the same time.",
        ),
    ),
)


def _refuse_catch_up(_context: object, _option: object, value: bool) -> None:
    if value:
        raise UsageError(
            "--catch-up is not possible: Kubeflow Pipelines does not tell a run which "
            "missed day it stands for, so all would read the same one",
            "Start one run for each missed day, such as "
            "`two-tower run --kubeflow --span 2026-03-01`.",
        )


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
    callback=lambda _context, _option, value: cron.check(value),
    help="Six fields: second, minute, hour, day of month, month, day of week.",
)
@click.option(
    "--span",
    required=True,
    help="Last span of each run: yesterday, today or today-3.",
)
@click.option(
    "--time-zone",
    default="UTC",
    show_default=True,
    metavar="ZONE",
    help="Time zone of the days from which --span counts, such as Europe/Berlin.",
)
@click.option(
    "--catch-up",
    is_flag=True,
    hidden=True,
    callback=_refuse_catch_up,
    expose_value=False,
)
@_schedule_options
@run_settings_options
@server_options
def create(
    *,
    options: ConfigOptions,
    time_zone: str,
    wanted: schedules.Schedule,
    settings: RunSettings,
    server: Endpoint,
) -> None:
    """Upload the pipeline and run it on a schedule.

    Each run counts its span from the day on which it was due, not from the day on which
    its steps happen to run; servers before Kubeflow Pipelines 2.17 do not tell it, and
    the first step then fails. A run on a day without data fails, too; it does not train
    on the previous day's data again.

    \b
    Examples:
      two-tower schedule create --cron '0 0 3 * * *' --span yesterday
      two-tower schedule create --cron '0 30 4 * * MON' --span today-2 --name weekly
      two-tower schedule create --cron '0 0 23 * * *' --span yesterday --time-zone \
          Asia/Tokyo
    """
    config = options.load()
    schedules.check_span(settings.span or "")
    settings = replace(settings, span=run_day.in_zone(settings.span or "", time_zone))
    client = connect(server)
    name = wanted.name or config.name
    schedules.check_name(client, name)
    version = upload(client, config)
    schedules.create(client, version, config.name, wanted, settings)
    echo(
        f"{'Schedule':<10}{name}: {cron.describe(wanted.expression)}, "
        "in the time zone of the server (UTC unless configured otherwise)"
    )


@schedule.command(name="list")
@server_options
def list_(*, server: Endpoint) -> None:
    """List the schedules of the namespace."""
    found = list(connect(server).items(SCHEDULES))
    if not found:
        echo("No schedules. Create one with `two-tower schedule create`.", err=True)
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
def pause(*, name: str, server: Endpoint) -> None:
    """Start no more runs until the schedule NAME is resumed."""
    schedules.set_enabled(connect(server), name, enabled=False)
    echo(f"{name} is paused.")


@schedule.command()
@click.argument("name")
@server_options
def resume(*, name: str, server: Endpoint) -> None:
    """Start the runs of the schedule NAME again."""
    schedules.set_enabled(connect(server), name, enabled=True)
    echo(f"{name} is resumed.")


@schedule.command()
@click.argument("name")
@server_options
def delete(*, name: str, server: Endpoint) -> None:
    """Delete the schedule NAME, but not its runs."""
    schedules.delete(connect(server), name)
    echo(f"{name} is deleted.")
