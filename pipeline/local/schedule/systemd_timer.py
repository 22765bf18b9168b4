"""A schedule as timer and service of the systemd manager of a user.

See systemd.timer(5), systemd.time(7) and the section "Quoting" of systemd.syntax(7).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pipeline.cron import SIX_FIELDS, WEEKDAYS, Cron
from pipeline.local.schedule.definition import (
    PAUSED,
    SCRIPT,
    Schedule,
    config_home,
    data_home,
)
from pipeline.retraining.outcome import NO_REASON_EXIT
from trainer.atomic_files import write_text
from trainer.errors import UserError

_SECONDS: Final = 30.0
# What a quoted string of a unit cannot hold as it is. A path that is not UTF-8 has
# surrogates in Python.
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f\"\\\udc80-\udcff]")


def is_available() -> bool:
    """Returns whether this user has a manager that answers."""
    if shutil.which("systemctl") is None:
        return False
    return not _systemctl("show", "--property=Version", check=False).returncode


def timer_name(name: str) -> str:
    """The name of the timer of a schedule."""
    return f"two-tower-{name}.timer"


def service_name(name: str) -> str:
    """The name of the service of a schedule."""
    return f"two-tower-{name}.service"


def units_folder() -> Path:
    """Where a user's units are."""
    return config_home() / "systemd" / "user"


def calendars(cron: Cron, time_zone: str) -> list[str]:
    """Returns the `OnCalendar` values for an expression.

    A day of systemd must match both the weekday and the date. Where cron takes either,
    there is one value for each.
    """
    second, minute, hour, day, month, weekday = (
        _list(values, field.low, field.high)
        for values, field in zip(cron.values, SIX_FIELDS, strict=True)
    )
    if weekday != "*":
        weekday = ",".join(WEEKDAYS[day].title() for day in sorted(cron.values[-1]))
    pairs = [(weekday, "*"), ("*", day)] if cron.either_day else [(weekday, day)]
    clock = f"{hour}:{minute}:{second} {time_zone}"
    return [
        f"{'' if weekday == '*' else f'{weekday} '}*-{month}-{day} {clock}"
        for weekday, day in pairs
    ]


def _list(values: Iterable[int], low: int, high: int) -> str:
    found = sorted(values)
    if len(found) == high - low + 1:
        return "*"
    return ",".join(f"{value:02d}" for value in found)


def quote(text: str) -> str:
    """Quotes an argument for `ExecStart`."""
    escaped = _UNSAFE.sub(
        lambda match: "".join(f"\\x{byte:02x}" for byte in os.fsencode(match[0])), text
    )
    # % begins a specifier and $ a variable, also within quotes.
    return '"' + escaped.replace("%", "%%").replace("$", "$$") + '"'


def units(schedule: Schedule) -> dict[str, str]:
    """Returns the name of each unit and its content."""
    name = schedule.name
    head = "# Written by `two-tower schedule create --local`, which replaces it.\n"
    lines = [
        f"OnCalendar={line}" for line in calendars(schedule.cron, schedule.time_zone)
    ]
    return {
        service_name(name): (
            f"{head}[Unit]\n"
            f"Description=Retraining of the two-tower schedule {name}\n\n"
            "[Service]\n"
            "Type=oneshot\n"
            f"SyslogIdentifier=two-tower-{name}\n"
            f"SuccessExitStatus={NO_REASON_EXIT}\n"
            f"ExecStart=/bin/sh {quote(f'{schedule.folder}/{SCRIPT}')}\n"
        ),
        timer_name(name): (
            f"{head}[Unit]\n"
            f"Description=Times of the two-tower schedule {name}\n\n"
            "[Timer]\n" + "".join(f"{line}\n" for line in lines) + "AccuracySec=1s\n"
            # After the machine was off, one start makes up for those that were missed.
            "Persistent=true\n\n"
            "[Install]\n"
            "WantedBy=timers.target\n"
        ),
    }


def verify(folder: Path, names: Iterable[str]) -> None:
    """Has systemd check unit files.

    Raises:
      UserError: It finds a fault.
    """
    if shutil.which("systemd-analyze") is None:
        return
    command = ["systemd-analyze", "--user", "verify"]
    command += [str(folder / name) for name in names]
    done = _run(command)
    if done.returncode:
        raise UserError(
            f"systemd does not accept the units: {_last_line(done.stderr)}",
            "Please report it with the command.",
        )


def install(schedule: Schedule) -> None:
    """Writes the units and starts the timer; the next tick is its first.

    Raises:
      UserError: The manager does not accept them.
      OSError: They cannot be written.
    """
    folder = units_folder()
    folder.mkdir(parents=True, exist_ok=True)
    contents = units(schedule)
    for name, content in contents.items():
        write_text(folder / name, content)
    verify(folder, contents)
    _systemctl("daemon-reload")
    timer = timer_name(schedule.name)
    if _property(timer, "FragmentPath") != str(folder / timer):
        raise UserError(
            f"The systemd manager of this user does not look for units in {folder}",
            "Unset XDG_CONFIG_HOME, or give --scheduler cron.",
        )
    set_enabled(schedule, enabled=True)


def uninstall(schedule: Schedule) -> None:
    """Removes what `install` made; a retraining that is running goes on."""
    timer = timer_name(schedule.name)
    _systemctl("disable", "--now", timer, check=False)
    _stamp(timer).unlink(missing_ok=True)
    for name in (timer, service_name(schedule.name)):
        (units_folder() / name).unlink(missing_ok=True)
    _systemctl("daemon-reload", check=False)
    _systemctl("reset-failed", service_name(schedule.name), check=False)


def set_enabled(schedule: Schedule, *, enabled: bool) -> None:
    """Starts the timer or stops it.

    Raises:
      UserError: There is no such timer, or the manager does not answer.
    """
    timer = timer_name(schedule.name)
    if not enabled:
        _systemctl("disable", "--now", timer)
        return
    _systemctl("stop", timer, check=False)
    # Else a timer would at once make up for what was due while it was stopped.
    _stamp(timer).parent.mkdir(parents=True, exist_ok=True)
    _stamp(timer).write_bytes(b"")
    _systemctl("enable", "--now", timer)


def state(schedule: Schedule) -> str:
    """Returns `enabled`, `paused`, `last run failed`, or what else is wrong."""
    timer = timer_name(schedule.name)
    if not is_available():
        return "no systemd manager answers"
    if _property(timer, "LoadState") != "loaded":
        return "its timer is missing"
    if _property(timer, "ActiveState") != "active":
        return PAUSED
    if _property(service_name(schedule.name), "ActiveState") == "failed":
        return "enabled, last run failed"
    return "enabled"


def warnings() -> list[str]:
    """What keeps timers of this user from starting."""
    user = os.environ.get("USER") or str(os.getuid())
    done = _run(["loginctl", "show-user", str(os.getuid()), "--property=Linger"])
    if done.stdout.strip() != "Linger=no":
        return []
    return [
        "it starts only while you are logged in; `loginctl enable-linger "
        f"{user}` changes that"
    ]


def _stamp(timer: str) -> Path:
    """The file whose time of change is when the timer elapsed last (systemd.timer)."""
    return data_home() / "systemd" / "timers" / f"stamp-{timer}"


def _property(unit: str, name: str) -> str:
    done = _systemctl("show", f"--property={name}", unit, check=False)
    return done.stdout.strip().partition("=")[2]


def _systemctl(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = _run(["systemctl", "--user", "--no-ask-password", *arguments])
    if check and done.returncode:
        raise UserError(
            f"`systemctl --user {' '.join(arguments)}` failed: "
            f"{_last_line(done.stderr)}",
            "Look at `systemctl --user status`, or give --scheduler cron.",
        )
    return done


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command in English, for as long as a busy manager may need."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
        )
    return subprocess.CompletedProcess(command, 1, "", "it does not answer")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it says nothing"
