"""`two-tower schedule`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from pipeline.cli.local_schedule import (
    create_local,
    delete_local,
    local_rows,
    set_local_enabled,
    show_local,
)
from pipeline.cli.local_schedule_options import (
    LocalOptions,
    local_option,
    local_schedule_options,
    refuse_local_options,
    refuse_server_options,
)
from pipeline.cli.options import ConfigOptions, option_group, run_config_options
from pipeline.cli.server_options import (
    connect,
    run_settings_options,
    server_options,
    upload,
)
from pipeline.cli.tables import echo, print_table
from pipeline.kubeflow import run_day
from pipeline.kubeflow.server import cron, schedules
from pipeline.kubeflow.server.client import SCHEDULES, Client
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
    own=["expression"],
)


@click.group()
def schedule() -> None:
    """Retrain at fixed times, on Kubeflow or on this machine.

    \b
    Examples:
      two-tower schedule create --cron '0 0 3 * * *' --span yesterday
      two-tower schedule create --local --cron '0 3 * * *' --newest
      two-tower schedule list
      two-tower schedule pause two-tower
    """


@schedule.command()
@run_config_options
@click.option(
    "--cron",
    "expression",
    required=True,
    help="Six fields: second, minute, hour, day of month, month, day of week. With "
    "--local also five, without the second.",
)
@click.option("--span", help="Last span of each run: yesterday, today or today-3.")
@click.option(
    "--time-zone",
    metavar="ZONE",
    help="Time zone of the days from which --span counts, such as Europe/Berlin; with "
    "--local also of --cron.  [default: UTC; with --local, this machine's]",
)
@local_schedule_options
@_schedule_options
@run_settings_options
@server_options
@click.pass_context
def create(
    context: click.Context,
    *,
    options: ConfigOptions,
    time_zone: str | None,
    local: LocalOptions,
    wanted: schedules.Schedule,
    settings: RunSettings,
    server: Endpoint,
) -> None:
    """Run the pipeline on a schedule, on Kubeflow or, with --local, on this machine.

    On Kubeflow, each run counts its span from the day on which it was due, not from the
    day on which its steps happen to run; servers before Kubeflow Pipelines 2.17 do not
    pass it on, and the first step then fails. A run on a day without data fails, too;
    it does not train on the previous day's data again.

    With --local, a timer of systemd or a line of the crontab starts `two-tower retrain`
    with the configuration of today: see docs/retraining.md.

    \b
    Examples:
      two-tower schedule create --cron '0 0 3 * * *' --span yesterday
      two-tower schedule create --cron '0 30 4 * * MON' --span today-2 --name weekly
      two-tower schedule create --cron '0 0 23 * * *' --span yesterday --time-zone \\
          Asia/Tokyo
      two-tower schedule create --local --cron '0 3 * * *' --data-dir /data/ratings \\
          --newest
    """
    if local.local:
        refuse_server_options(context)
        create_local(options, local, wanted, settings.span, time_zone)
        return
    refuse_local_options(context)
    if settings.span is None:
        raise UsageError("No --span is given", "Give --span yesterday or today.")
    cron.check(wanted.expression)
    config = options.load()
    schedules.check_span(settings.span)
    span = run_day.in_zone(settings.span, time_zone or "UTC")
    settings = replace(settings, span=span)
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
@local_option
@server_options
def list_(*, local: bool, server: Endpoint) -> None:
    """List the schedules of this machine, and those of a server if one is named.

    With --local only those of this machine.
    """
    rows = local_rows()
    if not local:
        try:
            rows += _rows_of(connect(server))
        except UsageError as error:  # no server is named
            if not rows:
                raise
            echo(f"Only those of this machine are listed: {error.message}", err=True)
    if not rows:
        echo("No schedules. Create one with `two-tower schedule create`.", err=True)
        return
    print_table(("name", "where", "state", "cron", "when"), rows, header=False)


def _rows_of(client: Client) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for item in client.items(SCHEDULES):
        expression = item.get("trigger", {}).get("cron_schedule", {}).get("cron", "")
        when = cron.describe(expression) if len(expression.split()) == 6 else "?"  # noqa: PLR2004
        span = item.get("runtime_config", {}).get("parameters", {}).get("span", "?")
        state = str(item.get("status", "")).lower()
        name = str(item.get("display_name", ""))
        rows.append((name, "kubeflow", state, expression, f"{when}, span {span}"))
    return rows


@schedule.command()
@click.argument("name")
@click.option(
    "--local", is_flag=True, required=True, help="The schedule is of this machine."
)
def show(*, name: str, local: bool) -> None:
    """Explain the schedule NAME: its next five runs, and what each will read."""
    show_local(name)


@schedule.command()
@click.argument("name")
@local_option
@server_options
def pause(*, name: str, local: bool, server: Endpoint) -> None:
    """Start no more runs until the schedule NAME is resumed."""
    if local:
        set_local_enabled(name, enabled=False)
    else:
        schedules.set_enabled(connect(server), name, enabled=False)
    echo(f"{name} is paused.")


@schedule.command()
@click.argument("name")
@local_option
@server_options
def resume(*, name: str, local: bool, server: Endpoint) -> None:
    """Start the runs of the schedule NAME again, with the next that is due."""
    if local:
        set_local_enabled(name, enabled=True)
    else:
        schedules.set_enabled(connect(server), name, enabled=True)
    echo(f"{name} is resumed.")


@schedule.command()
@click.argument("name")
@local_option
@server_options
def delete(*, name: str, local: bool, server: Endpoint) -> None:
    """Delete the schedule NAME, but not its runs."""
    if local:
        delete_local(name)
    else:
        schedules.delete(connect(server), name)
    echo(f"{name} is deleted.")


@schedule.command(hidden=True)
@click.argument("folder", type=click.Path(path_type=Path))
def tick(*, folder: Path) -> None:
    """Retrain for the newest tick of a schedule; systemd and cron start this."""
    from pipeline.local.schedule import definition, runner

    runner.start(definition.load_folder(folder), echo)
