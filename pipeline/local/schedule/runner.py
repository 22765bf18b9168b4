"""What happens at a tick: `retrain`, for the day to which the tick belongs.

The tick is the newest one that is past. A start that was late, after the machine had
been off or by hand, thus still reads the day of its tick and not that of the clock.
"""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from pipeline.kubeflow import run_day
from pipeline.local.schedule import env_file
from pipeline.local.schedule.definition import (
    CONFIG_FILE,
    Schedule,
)
from pipeline.runs.workspace import Workspace

# systemd 252 and newer say when a timer elapsed.
_ELAPSED: Final = "TRIGGER_TIMER_REALTIME_USEC"
_UTC: Final = datetime.timezone.utc


def retrain_arguments(
    schedule: Schedule, tick: datetime.datetime, settings: Sequence[str] | None = None
) -> list[str]:
    """Returns the arguments of `two-tower` for a tick.

    Args:
      schedule: The schedule.
      tick: The moment to which the run belongs.
      settings: Options in place of the schedule's own file of settings.
    """
    arguments = ["retrain", "--workspace", schedule.workspace]
    if schedule.data_dir is not None:
        arguments += ["--data-dir", schedule.data_dir]
    if settings is None:
        settings = ["--config", f"{schedule.folder}/{CONFIG_FILE}"]
    arguments += settings
    day = day_of(schedule, tick)
    arguments += ["--newest"] if day is None else ["--date", day]
    if schedule.catch_up is not None:
        arguments.append(f"--catch-up={schedule.catch_up}")
    if schedule.if_needed:
        arguments.append("--if-needed")
    wait = f"--wait={schedule.wait:g}"
    return [*arguments, wait, f"--trigger=schedule {schedule.name}"]


def day_of(schedule: Schedule, tick: datetime.datetime) -> str | None:
    """Returns the span that the run of a tick reads, or None for the newest."""
    if schedule.span is None:
        return None
    return run_day.fixed(run_day.in_zone(schedule.span, schedule.time_zone), tick)


def current_tick(
    schedule: Schedule, environment: Mapping[str, str]
) -> datetime.datetime:
    """Returns the tick to which a run belongs that is started now.

    Args:
      schedule: The schedule.
      environment: Variables of the process, in which systemd says when it was due.
    """
    now = datetime.datetime.now(_UTC)
    elapsed = environment.get(_ELAPSED, "")
    if elapsed.isascii() and elapsed.isdigit():
        due = datetime.datetime.fromtimestamp(int(elapsed) / 1e6, _UTC)
        now = min(now, due)
    clock = run_day.find_zone(schedule.time_zone)
    # A new schedule that is started by hand may have no past tick, such as one of
    # the 29th of February.
    return schedule.cron.newest_tick(now, clock, schedule.follower) or now


def start(schedule: Schedule, report: Callable[[str], None]) -> NoReturn:
    """Becomes the retraining: its process, signals and exit code are this one's.

    Args:
      schedule: The schedule.
      report: Prints which tick it is.

    Raises:
      UserError: The workspace is gone, such as with a disk that is not mounted, which
        must not start another history; or the file of variables cannot be read.
    """
    environment = dict(os.environ)
    tick = current_tick(schedule, environment)
    moment = tick.astimezone(run_day.find_zone(schedule.time_zone)).isoformat()
    report(f"two-tower schedule {schedule.name}: tick of {moment}")
    Workspace.open(Path(schedule.workspace))
    if schedule.env_file is not None:
        environment |= env_file.read(Path(schedule.env_file))
    command = [schedule.python, "-m", "pipeline", *retrain_arguments(schedule, tick)]
    # The command line has hidden what libraries write there.
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), 2)
    os.execve(schedule.python, command, environment)
