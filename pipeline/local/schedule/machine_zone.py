"""The time zone of this machine, which cron follows."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Final

from pipeline.kubeflow.run_day import find_zone
from trainer.errors import UsageError

_LOCALTIME: Final = Path("/etc/localtime")
_TIMEZONE: Final = Path("/etc/timezone")
_DAYS: Final = 366


def machine_zone() -> str:
    """Returns the name of the machine's time zone, whatever the shell's `TZ` is.

    Raises:
      UsageError: It has no name.
    """
    if not _LOCALTIME.exists():
        return "UTC"
    _, _, name = str(_LOCALTIME.resolve()).rpartition("/zoneinfo/")
    if not name and _TIMEZONE.is_file():
        name = _TIMEZONE.read_text(encoding="utf-8", errors="replace").strip()
    try:
        return find_zone(name).key
    except UsageError as error:
        raise UsageError(
            f"The time zone of this machine has no name: {_LOCALTIME} is a file of "
            "its own",
            "Name it with --time-zone, such as Europe/Berlin.",
        ) from error


def are_alike(one: str, other: str) -> bool:
    """Returns whether the clocks of two zones agree on every day of the next year."""
    now = datetime.datetime.now(datetime.timezone.utc)
    days = (now + datetime.timedelta(days=number) for number in range(_DAYS))
    first, second = find_zone(one), find_zone(other)
    return all(
        day.astimezone(first).utcoffset() == day.astimezone(second).utcoffset()
        for day in days
    )
