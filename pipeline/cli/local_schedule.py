"""The part of `two-tower schedule` that is about this machine."""

from __future__ import annotations

import datetime
import itertools
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.cli.local_schedule_options import LocalOptions
from pipeline.cli.options import ConfigOptions
from pipeline.cli.tables import echo, make_console, print_facts, print_table
from pipeline.kubeflow.run_day import find_zone
from pipeline.kubeflow.server import schedules
from trainer.errors import UsageError, UserError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.cron import Follower
    from pipeline.local.schedule.definition import Schedule

_SHOWN: Final = 5
_DAYS: Final = 366
_UTC: Final = datetime.timezone.utc


def create_local(
    options: ConfigOptions,
    local: LocalOptions,
    wanted: schedules.Schedule,
    span: str | None,
    time_zone: str | None,
) -> None:
    """Creates a schedule of this machine, and says what it will do.

    Raises:
      UserError: It is not valid, or nothing on this machine could start it.
    """
    if local.newest == (span is not None):
        raise UsageError(
            "A schedule needs either --span or --newest",
            "Give --span yesterday, or --newest for the newest span that there is.",
        )
    if span is not None:
        schedules.check_span(span)
    from pipeline.config.loading import dump
    from pipeline.local.schedule import env_file, manage
    from pipeline.runs.workspace import Workspace

    config = options.load(local.data_dir)
    follower = local.scheduler or manage.choose_follower()
    schedule = _schedule(
        wanted.name or config.name,
        local,
        expression=wanted.expression,
        follower=follower or "cron",
        span=span,
        time_zone=time_zone,
    )
    tick = _ticks(schedule, 1)[0]
    if follower is None:
        raise _nothing_starts_it(schedule, tick, options)
    manage.check(schedule)
    variables = env_file.read(local.env_file) if local.env_file else {}
    Workspace.open(local.workspace, create=True)
    is_new = manage.create(schedule, dump(config), replace=local.replace_old)
    echo(
        f"{'Schedule':<10}{schedule.name}: {schedule.when()}, by {schedule.follower}"
        f"{'' if is_new else ' (unchanged)'}"
    )
    echo(f"{'Reads':<10}{schedule.reads()}")
    echo(f"{'Next':<10}{_local_time(schedule, tick)}")
    missing = sorted(_secrets(config) - variables.keys())
    if missing:
        _warn(f"runs do not have {', '.join(missing)}: give --env-file")
    for warning in (*manage.warnings(schedule), *_skipped(schedule)):
        _warn(warning)


def _schedule(
    name: str,
    local: LocalOptions,
    *,
    expression: str,
    follower: Follower,
    span: str | None,
    time_zone: str | None,
) -> Schedule:
    from pipeline.local.schedule import definition
    from pipeline.local.schedule.machine_zone import machine_zone

    return definition.Schedule(
        name=definition.check_name(name),
        expression=" ".join(expression.split()),
        time_zone=find_zone(time_zone).key if time_zone else machine_zone(),
        follower=follower,
        workspace=os.path.abspath(local.workspace),
        folder=str(definition.folder_of(name)),
        log_file=str(definition.log_file_of(name)),
        span=span,
        catch_up=local.catch_up,
        if_needed=local.if_needed,
        wait=local.wait_seconds,
        data_dir=_absolute(local.data_dir),
        env_file=_absolute(local.env_file),
        import_path=definition.import_path(),
    )


def _nothing_starts_it(
    schedule: Schedule, tick: datetime.datetime, options: ConfigOptions
) -> UserError:
    """The error of a machine without a scheduler: what to start by hand, and when."""
    from pipeline.local.schedule.runner import retrain_arguments

    command = retrain_arguments(schedule, tick, _given_settings(options))
    return UserError(
        "This machine has neither a systemd manager of this user nor crontab",
        f"Install cron; or start this yourself, {schedule.when()}: "
        f"{shlex.join(['two-tower', *command])}",
    )


def _secrets(config: PipelineConfig) -> set[str]:
    """The environment variables that the channels of a retraining read."""
    gateway = vars(config.monitoring.push_gateway)
    names = {name for key, name in gateway.items() if key.endswith("_env") and name}
    return config.notify.variables() | names


def _given_settings(options: ConfigOptions) -> list[str]:
    """The configuration as it was given, with absolute paths."""
    # What is no file is the name of a packaged preset.
    found = [
        f"--config={os.path.abspath(file) if file.exists() else file}"
        for file in options.files
    ]
    return found + [f"--set={text}" for text in options.all_assignments]


def local_rows() -> list[tuple[str, ...]]:
    """A row for each schedule of this machine: name, where, state, cron, when."""
    from pipeline.local.schedule import definition, manage

    rows: list[tuple[str, ...]] = []
    for name in definition.names():
        try:
            schedule = definition.load(name)
            rows.append(
                (
                    *(name, schedule.follower, manage.state(schedule)),
                    schedule.expression,
                    f"{schedule.when()}, {schedule.reads()}",
                )
            )
        except UserError as error:
            rows.append((name, "this machine", "damaged", "?", str(error)))
    return rows


def show_local(name: str) -> None:
    """Explains a schedule of this machine.

    Raises:
      UserError: There is none of that name.
    """
    from pipeline.local.schedule import definition, manage, systemd_timer
    from pipeline.local.schedule.runner import day_of, retrain_arguments

    schedule = definition.load(name)
    ticks = _ticks(schedule, _SHOWN)
    command = ["two-tower", *retrain_arguments(schedule, ticks[0])]
    where = (
        f"line of `crontab -l` that ends in {name}, output in {schedule.log_file}"
        if schedule.follower == "cron"
        else f"{systemd_timer.units_folder() / systemd_timer.timer_name(name)}, output "
        f"by `journalctl --user --unit {systemd_timer.service_name(name)}`"
    )
    facts = [
        ("Schedule", f"{name}: {schedule.when()}"),
        ("State", manage.state(schedule)),
        ("Reads", schedule.reads()),
        ("Started", f"by {schedule.follower}: {where}"),
        ("Files", schedule.folder),
        ("Command", f"{shlex.join(command)}, at the next tick"),
    ]
    print_facts(make_console(), facts)
    rows = [
        (_local_time(schedule, tick), day_of(schedule, tick) or "newest")
        for tick in ticks
    ]
    print_table(("next ticks", "span"), rows)
    for warning in (*manage.warnings(schedule), *_skipped(schedule)):
        _warn(warning)


def set_local_enabled(name: str, *, enabled: bool) -> None:
    """Pauses a schedule of this machine, or resumes it."""
    from pipeline.local.schedule import manage

    manage.set_enabled(name, enabled=enabled)


def delete_local(name: str) -> None:
    """Deletes a schedule of this machine."""
    from pipeline.local.schedule import manage

    manage.delete(name)


def _ticks(schedule: Schedule, number: int) -> list[datetime.datetime]:
    now = datetime.datetime.now(_UTC)
    clock = find_zone(schedule.time_zone)
    ticks = schedule.cron.ticks(now, clock, schedule.follower)
    return list(itertools.islice(ticks, number))


def _local_time(schedule: Schedule, tick: datetime.datetime) -> str:
    local = tick.astimezone(find_zone(schedule.time_zone))
    return f"{local:%a %Y-%m-%d %H:%M:%S} {schedule.time_zone} (UTC{local:%z})"


def _skipped(schedule: Schedule) -> list[str]:
    """Says on which day of the next year the clock skips a time of the schedule."""
    today = datetime.datetime.now(find_zone(schedule.time_zone)).date()
    for number in range(_DAYS):
        day = today + datetime.timedelta(days=number)
        if schedule.cron.matches(day):
            gaps = schedule.cron.gaps(day, find_zone(schedule.time_zone))
            if gaps and schedule.follower == "systemd":
                return [
                    f"{gaps[0]:%Y-%m-%d %H:%M} does not exist in {schedule.time_zone}, "
                    "where the clock is put forward: nothing is started then"
                ]
    return []


def _absolute(path: Path | None) -> str | None:
    return None if path is None else os.path.abspath(path)


def _warn(text: str) -> None:
    echo(f"Warning: {text}.", err=True)
