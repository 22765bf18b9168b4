"""A schedule of this machine, and the folder in which it is kept.

```
~/.config/two-tower/schedules/      or under XDG_CONFIG_HOME
  <name>/
    schedule.json                   `Schedule`
    config.yaml                     the whole configuration, as it was at the creation
    run.sh                          what systemd or cron starts
```

Only absolute paths are kept, since a schedule starts without the variables, the working
directory and the search path of the shell in which it was made.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pipeline.cron import Cron, Follower, describe
from trainer.atomic_files import write_json, write_text
from trainer.config import FROZEN
from trainer.errors import UsageError, UserError

CONFIG_FILE: Final = "config.yaml"
SCRIPT: Final = "run.sh"
MAX_LOG_BYTES: Final = 1_000_000  # of a log, which is kept once more as `.1`
PAUSED: Final = "paused"  # a state
_FILE: Final = "schedule.json"
# What systemd, cron and every shell take as it is.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.IGNORECASE)
_SOURCES: Final = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class Schedule:
    """What is run and when.

    Attributes:
      name: The schedule's.
      expression: Cron with five or six fields, or a word such as `@daily`.
      time_zone: Of the expression, and of the days from which `span` counts.
      follower: What starts it.
      span: `yesterday`, `today` or `today-3`; None for the newest span that there is.
      catch_up: As in `retrain --catch-up`; None to leave missed spans out.
      if_needed: Whether to retrain only for a reason, as in `retrain --if-needed`.
      wait: Seconds to wait for another command that uses the workspace.
      workspace: Its folder.
      folder: Of the schedule itself.
      log_file: What its runs print, if cron starts them; systemd has its journal.
      data_dir: Folder of the ratings; None for an edition that is fetched.
      env_file: File with variables such as passwords; None without.
      python: The interpreter.
      import_path: Folders to import from, besides the interpreter's own.
      format: Of this file.
    """

    name: str
    expression: str
    time_zone: str
    follower: Follower
    workspace: str
    folder: str
    log_file: str
    span: str | None = None
    catch_up: Literal["all", "newest"] | None = None
    if_needed: bool = False
    wait: Annotated[float, Field(ge=0)] = 3600.0
    data_dir: str | None = None
    env_file: str | None = None
    python: str = sys.executable
    import_path: tuple[str, ...] = ()
    format: Literal[1] = 1

    @property
    def cron(self) -> Cron:
        """The expression, read."""
        return Cron.parse(self.expression)

    def when(self) -> str:
        """When it starts, in words."""
        cron = self.cron
        words = describe(cron.texts, either_day=cron.either_day)
        return f"{words}, {self.time_zone} time"

    def reads(self) -> str:
        """Which span it reads, in words."""
        what = "the newest span" if self.span is None else f"the span {self.span}"
        return f"{what}, and spans that were missed" if self.catch_up else what


def check_name(name: str) -> str:
    """Returns a name if it can be that of a schedule.

    Raises:
      UsageError: It is empty, too long, or has characters that need quotes somewhere.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"A schedule cannot be named {name!r}",
            "Give --name up to 63 letters, digits, dots, underscores and hyphens, "
            "the first a letter or a digit.",
        )
    return name


def import_path() -> tuple[str, ...]:
    """The folders to import from that a new shell would not know."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    folders = [os.path.abspath(folder) for folder in given if folder]
    installed = {"site-packages", "dist-packages"} & set(_SOURCES.parts)
    if not installed and str(_SOURCES) not in folders:
        folders.insert(0, str(_SOURCES))
    return tuple(folders)


def config_home() -> Path:
    """The folder of the user's configuration (XDG base directory specification)."""
    return _xdg("XDG_CONFIG_HOME", ".config")


def data_home() -> Path:
    """The folder of what programs keep for the user."""
    return _xdg("XDG_DATA_HOME", ".local/share")


def state_home() -> Path:
    """The folder of the user's logs."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def _xdg(variable: str, default: str) -> Path:
    given = os.environ.get(variable, "")
    return Path(given) if os.path.isabs(given) else Path.home() / default


def schedules_folder() -> Path:
    """The folder of all schedules."""
    return config_home() / "two-tower" / "schedules"


def folder_of(name: str) -> Path:
    """The folder of a schedule."""
    return schedules_folder() / check_name(name)


def log_file_of(name: str) -> Path:
    """Where a schedule that cron starts writes what it prints."""
    return state_home() / "two-tower" / "schedules" / f"{name}.log"


def names() -> list[str]:
    """The names of all schedules."""
    return sorted(path.parent.name for path in schedules_folder().glob(f"*/{_FILE}"))


def load(name: str) -> Schedule:
    """Reads a schedule.

    Raises:
      UserError: There is none of that name, or its file cannot be read.
    """
    if name not in names():
        known = ", ".join(names())
        raise UserError(
            f"There is no schedule {name!r} on this machine",
            f"Choose one of: {known}."
            if known
            else "Create one with `two-tower schedule create --local`.",
        )
    return load_folder(folder_of(name))


def load_folder(folder: Path) -> Schedule:
    """Reads the schedule of a folder.

    Raises:
      UserError: Its file cannot be read.
    """
    path = folder / _FILE
    try:
        return TypeAdapter(Schedule).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = getattr(error, "strerror", None) or "it is not a schedule's"
        raise UserError(
            f"The file {path} cannot be read: {reason}",
            f"Delete it with `two-tower schedule delete --local {folder.name}`.",
        ) from error


def save(schedule: Schedule, configuration: str) -> None:
    """Writes the folder of a schedule.

    `schedule.json` comes last: without it, there is no schedule.

    Args:
      schedule: The schedule.
      configuration: Its `config.yaml`.
    """
    folder = Path(schedule.folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / CONFIG_FILE, configuration)
    write_text(folder / SCRIPT, script(schedule))
    write_json(folder / _FILE, asdict(schedule))


def script(schedule: Schedule) -> str:
    """What systemd or cron starts: a shell script, so that one set of rules quotes.

    Its working directory has no file that could be imported by mistake.
    """
    path = shlex.quote(os.pathsep.join(schedule.import_path))
    command = [schedule.python, "-m", "pipeline", "schedule", "tick", schedule.folder]
    return (
        "#!/bin/sh\n"
        "# Written by `two-tower schedule create --local`. It may be started by hand.\n"
        f"{_log_lines(schedule) if schedule.follower == 'cron' else ''}"
        f"cd {shlex.quote(schedule.folder)} || exit 1\n"
        f"PYTHONPATH={path}\n"
        "export PYTHONPATH\n"
        f"exec {shlex.join(command)}\n"
    )


def _log_lines(schedule: Schedule) -> str:
    """Sends everything to the log; systemd has its journal."""
    log = Path(schedule.log_file)
    path = shlex.quote(str(log))
    return (
        f"mkdir -p {shlex.quote(str(log.parent))} && exec >> {path} 2>&1 || exit 1\n"
        f'if [ "$(wc -c < {path})" -gt {MAX_LOG_BYTES} ]; then\n'
        f"  mv {path} {shlex.quote(f'{log}.1')} && exec >> {path} 2>&1\n"
        "fi\n"
    )
