"""A schedule as a line of the user's crontab.

Every other line stays as it is, byte for byte. See crontab(5).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import psutil

from pipeline.cron import SIX_FIELDS, Cron, Field
from pipeline.local.schedule.definition import PAUSED, SCRIPT, Schedule
from trainer.errors import UsageError, UserError
from trainer.text import has_control_characters

_SECONDS: Final = 30.0
_ATTEMPTS: Final = 5
_COMMENTED: Final = b"#paused "
_MISSING: Final = "its line in the crontab is missing"
_DAEMONS: Final = ("cron", "crond", "fcron", "busybox")


def is_available() -> bool:
    """Returns whether there is a crontab command."""
    return shutil.which("crontab") is not None


def check(schedule: Schedule) -> None:
    """Checks that a crontab can hold a schedule.

    Raises:
      UsageError: It has seconds, or its folder has characters that no line can hold.
    """
    if schedule.cron.values[0] != {0}:
        raise UsageError(
            f"cron has no seconds, which {schedule.expression!r} asks for",
            "Give five fields, such as '0 3 * * *'.",
        )
    path = schedule.folder
    # How a backslash is read differs between versions of cron.
    if has_control_characters(path) or "\\" in path:
        raise UsageError(
            f"A crontab cannot hold the path {path!r}",
            "Set XDG_CONFIG_HOME to a folder without backslashes and control "
            "characters.",
        )


def line(schedule: Schedule) -> bytes:
    """Returns the line of a schedule, without its end."""
    command = f"/bin/sh {shlex.quote(f'{schedule.folder}/{SCRIPT}')}"
    # A % would end the command.
    command = command.replace("%", "\\%")
    times = " ".join(times_of(schedule.cron))
    return os.fsencode(f"{times} {command}") + _mark(schedule.name)


def times_of(cron: Cron) -> list[str]:
    """Returns the five fields without names, which not every cron reads in ranges."""
    fields = zip(cron.texts[1:], cron.values[1:], SIX_FIELDS[1:], strict=True)
    return [
        _field(text.replace("?", "*"), values, field) for text, values, field in fields
    ]


def _field(text: str, values: Iterable[int], field: Field) -> str:
    numbers = sorted(values)
    is_full = len(numbers) == field.high - field.low + 1
    if not text.startswith("*"):
        return f"{field.low}-{field.high}" if is_full else ",".join(map(str, numbers))
    # A `*` at its start decides how the two fields of days are combined.
    first, *others = text.split(",")
    if is_full:
        return "*"
    return ",".join([first, *map(str, numbers)] if others else [first])


def install(schedule: Schedule) -> None:
    """Adds the line of a schedule, in place of the one that it has.

    Raises:
      UserError: The crontab cannot be read or written.
    """
    _edit(lambda text: _with(text, schedule.name, line(schedule)))


def uninstall(schedule: Schedule) -> None:
    """Removes the line of a schedule.

    Raises:
      UserError: The crontab cannot be read or written.
    """
    _edit(lambda text: _with(text, schedule.name, None))


def set_enabled(schedule: Schedule, *, enabled: bool) -> None:
    """Makes the line a comment, or no longer one.

    Raises:
      UserError: The crontab has no such line, or cannot be read or written.
    """
    if state(schedule) == _MISSING:
        raise UserError(
            f"The crontab has no line of the schedule {schedule.name!r}",
            "Create it again with `two-tower schedule create --local --replace`.",
        )
    new = line(schedule) if enabled else _COMMENTED + line(schedule)
    _edit(lambda text: _with(text, schedule.name, new))


def state(schedule: Schedule) -> str:
    """Returns `enabled`, `paused`, or what is wrong."""
    if not is_available():
        return "crontab is not installed"
    found = [text for text in _read().split(b"\n") if _is_of(text, schedule.name)]
    if not found:
        return _MISSING
    if found[0].startswith(_COMMENTED):
        return PAUSED
    return "enabled" if found == [line(schedule)] else "enabled, its line was edited"


def warnings() -> list[str]:
    """What keeps cron from starting anything."""
    for process in psutil.process_iter(["name"]):
        if process.info["name"] in _DAEMONS:
            return []
    return ["the cron daemon is not running, so that nothing will be started"]


def _mark(name: str) -> bytes:
    """The comment, to the shell, by which a line is found again."""
    return f" # two-tower schedule {name}".encode()


def _is_of(text: bytes, name: str) -> bool:
    is_comment = text.startswith(b"#") and not text.startswith(_COMMENTED)
    return text.endswith(_mark(name)) and not is_comment


def _with(text: bytes, name: str, new: bytes | None) -> bytes:
    """Returns a crontab with another line for a schedule; None removes it."""
    lines = text.split(b"\n")
    places = [place for place, item in enumerate(lines) if _is_of(item, name)]
    for place in reversed(places[1 if new is not None else 0 :]):
        del lines[place]
    if new is None:
        return b"\n".join(lines)
    if places:
        lines[places[0]] = new
        return b"\n".join(lines)
    end = b"" if not text or text.endswith(b"\n") else b"\n"
    return text + end + new + b"\n"


def _edit(change: Callable[[bytes], bytes]) -> None:
    """Changes the crontab, again from the start if somebody else changed it."""
    before = _read()
    for _ in range(_ATTEMPTS):
        after = change(before)
        if after == before:
            return
        now = _read()
        if now != before:
            before = now
            continue
        _write(after)
        before = _read()
    raise UserError(
        "The crontab was changed by somebody else again and again",
        "Close other editors of it, and repeat the command.",
    )


def _read() -> bytes:
    done = _crontab("-l")
    if done.returncode and b"no crontab for" not in done.stderr:
        raise _failed("read", done)
    return b"" if done.returncode else done.stdout


def _write(text: bytes) -> None:
    done = _crontab("-", given=text)
    if done.returncode:
        raise _failed("written", done)


def _failed(what: str, done: subprocess.CompletedProcess[bytes]) -> UserError:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    reason = lines[0] if lines else f"exit code {done.returncode}"
    return UserError(
        f"The crontab cannot be {what}: {reason}",
        "`crontab -l` must work for this user: see cron.allow in crontab(1).",
    )


def _crontab(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(
            ["crontab", *arguments],
            input=given,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            cwd=Path("/"),
            env={**os.environ, "LC_ALL": "C"},
        )
    return subprocess.CompletedProcess(arguments, 1, b"", b"it does not answer")
