"""Creates, pauses, resumes and deletes the schedules of this machine."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from types import ModuleType
from typing import Final

from pipeline.cron import Follower
from pipeline.local.schedule import crontab, systemd_timer
from pipeline.local.schedule.definition import (
    CONFIG_FILE,
    PAUSED,
    Schedule,
    folder_of,
    load,
    names,
    save,
    schedules_folder,
)
from pipeline.local.schedule.machine_zone import are_alike, machine_zone
from trainer.errors import UsageError, UserError

_FOLLOWERS: Final[dict[Follower, ModuleType]] = {
    "systemd": systemd_timer,
    "cron": crontab,
}


def choose_follower() -> Follower | None:
    """Returns what can start schedules here, systemd if both can; None if nothing."""
    found = (name for name, module in _FOLLOWERS.items() if module.is_available())
    return next(found, None)


def check(schedule: Schedule) -> None:
    """Checks that what is to start a schedule can do so.

    Raises:
      UsageError: It cannot express the schedule.
      UserError: It is not on this machine.
    """
    if not _FOLLOWERS[schedule.follower].is_available():
        remedy = {
            "systemd": "Log in so that `systemctl --user status` works, or give "
            "--scheduler cron.",
            "cron": "Install cron, or give --scheduler systemd.",
        }
        raise UserError(
            f"{schedule.follower} cannot be used by this user on this machine",
            remedy[schedule.follower],
        )
    if schedule.follower != "cron":
        return
    crontab.check(schedule)
    here = machine_zone()
    if not are_alike(here, schedule.time_zone):
        raise UsageError(
            f"cron follows the clock of this machine, in {here}, and not in "
            f"{schedule.time_zone}",
            f"Give the times in {here} and leave --time-zone out, or use systemd.",
        )


def create(schedule: Schedule, configuration: str, *, replace: bool) -> bool:
    """Creates a schedule, or does nothing but install it again if there is the same.

    Args:
      schedule: The schedule, which `check` accepts.
      configuration: Its `config.yaml`.
      replace: Whether to replace another of the same name. The same one is not, and
        stays paused if it is.

    Returns:
      Whether there was none, or another one.

    Raises:
      UserError: There is another of that name, or it cannot be installed. In all cases
        what was there before is there again.
    """
    with _locked():
        old = _previous(schedule.name)
        same = old == (schedule, configuration)
        if old is not None and not same and not replace:
            raise UserError(
                f"There is another schedule {schedule.name!r} on this machine",
                "Give --replace to replace it, or --name another.",
            )
        if same and state(schedule) == PAUSED:
            return False
        if old is not None and old[0].follower != schedule.follower:
            _FOLLOWERS[old[0].follower].uninstall(old[0])
        try:
            save(schedule, configuration)
            _FOLLOWERS[schedule.follower].install(schedule)
        except BaseException:
            _restore(schedule, old)
            raise
    return not same


def _previous(name: str) -> tuple[Schedule, str] | None:
    if name not in names():
        return None
    configuration = (folder_of(name) / CONFIG_FILE).read_text(encoding="utf-8")
    return load(name), configuration


def _restore(failed: Schedule, old: tuple[Schedule, str] | None) -> None:
    """Undoes a creation as far as that is possible: its own error is what counts."""
    with contextlib.suppress(UserError, OSError):
        _FOLLOWERS[failed.follower].uninstall(failed)
    if old is None:
        shutil.rmtree(failed.folder, ignore_errors=True)
        return
    with contextlib.suppress(UserError, OSError):
        save(*old)
        _FOLLOWERS[old[0].follower].install(old[0])


def set_enabled(name: str, *, enabled: bool) -> None:
    """Pauses a schedule, or resumes it with its next tick.

    Raises:
      UserError: There is no such schedule, or what starts it refuses.
    """
    with _locked():
        schedule = load(name)
        _FOLLOWERS[schedule.follower].set_enabled(schedule, enabled=enabled)


def delete(name: str) -> None:
    """Deletes a schedule; its runs and logs stay.

    A folder that cannot be read is removed from wherever it may be installed.

    Raises:
      UserError: There is no such schedule, or what starts it refuses.
    """
    with _locked():
        try:
            installed = [load(name)]
        except UserError:
            if name not in names():
                raise
            installed = [
                Schedule(
                    name=name,
                    expression="@daily",
                    time_zone="UTC",
                    workspace="/",
                    folder=str(folder_of(name)),
                    log_file="",
                    follower=follower,
                )
                for follower, module in _FOLLOWERS.items()
                if module.is_available()
            ]
        for schedule in installed:
            _FOLLOWERS[schedule.follower].uninstall(schedule)
        shutil.rmtree(folder_of(name))


def state(schedule: Schedule) -> str:
    """Returns `enabled`, `paused`, or what is wrong."""
    return str(_FOLLOWERS[schedule.follower].state(schedule))


def warnings(schedule: Schedule) -> list[str]:
    """What may keep a schedule from being started."""
    found: list[str] = _FOLLOWERS[schedule.follower].warnings()
    return found


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Lets one command at a time change schedules."""
    schedules_folder().mkdir(parents=True, exist_ok=True)
    with open(schedules_folder() / ".lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
