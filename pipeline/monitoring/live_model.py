"""The model that is live, read from the serving directory when it is asked about."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from typing import Final

from components.serving_directory import live_version, read_push

# Versions that Pusher names are Unix times; smaller numbers were given by a person.
_FIRST_TIME: Final = 1_000_000_000  # in the year 2001
_LAST_TIME: Final = 100_000_000_000


@dataclass(frozen=True)
class LiveVersion:
    """The newest complete version.

    Attributes:
      version: Its name.
      pushed: When it was pushed, in Unix seconds; None if nothing says so.
    """

    version: str
    pushed: float | None


def read_live(serving_dir: str) -> LiveVersion | None:
    """Returns the live version; None if there is none.

    Raises:
      UserError: The directory cannot be read.
    """
    version = live_version(serving_dir)
    if version is None:
        return None
    push = read_push(os.path.join(serving_dir, version))
    pushed = unix_time(push.pushed_at) if push else None
    if pushed is None and _FIRST_TIME <= int(version) < _LAST_TIME:
        pushed = float(version)
    return LiveVersion(version, pushed)


def unix_time(text: str) -> float | None:
    """Returns the Unix seconds of an ISO 8601 time, UTC if it names no zone."""
    try:
        time = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        if time.tzinfo is None:
            time = time.replace(tzinfo=datetime.timezone.utc)
        return time.timestamp()
    except (ValueError, OverflowError, AttributeError):
        return None
