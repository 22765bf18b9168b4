"""The options of `two-tower schedule` that are about this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from pipeline.cli.options import data_dir_option, option_group, workspace_option
from trainer.errors import UsageError

if TYPE_CHECKING:
    from pipeline.cron import Follower


@dataclass(frozen=True)
class LocalOptions:
    """What a schedule of this machine has and one of a server has not.

    Attributes:
      local: Whether it is of this machine.
      newest: `--newest`.
      catch_up: `--catch-up`.
      if_needed: `--if-needed`.
      wait_seconds: `--wait`.
      env_file: `--env-file`.
      scheduler: `--scheduler`.
      replace_old: `--replace`.
      data_dir: `--data-dir`.
      workspace: `--workspace`.
    """

    local: bool
    newest: bool
    catch_up: Literal["all", "newest"] | None
    if_needed: bool
    wait_seconds: float
    env_file: Path | None
    scheduler: Follower | None
    replace_old: bool
    data_dir: Path | None
    workspace: Path


local_option = click.option(
    "--local", is_flag=True, help="The schedule is of this machine, not of a server."
)
_OPTIONS: Final = (
    click.option(
        "--local",
        is_flag=True,
        help="Retrain on this machine, started by systemd or cron. The options up to "
        "--workspace belong to it.",
    ),
    click.option(
        "--newest",
        is_flag=True,
        help="Read the newest span that there is, in place of --span.",
    ),
    click.option(
        "--catch-up",
        type=click.Choice(["all", "newest"]),
        is_flag=False,
        flag_value="all",
        help="Also retrain on the spans that were missed: see `retrain --help`.",
    ),
    click.option(
        "--if-needed",
        is_flag=True,
        help="Retrain only for a reason: see `retrain --help`.",
    ),
    click.option(
        "--wait",
        "wait_seconds",
        type=click.FloatRange(min=0),
        default=3600.0,
        show_default=True,
        help="Seconds to wait for another command that uses the workspace.",
    ),
    click.option(
        "--env-file",
        type=click.Path(path_type=Path),
        help="File with lines NAME=value: variables of the runs, such as passwords, "
        "read at each start.",
    ),
    click.option(
        "--scheduler",
        type=click.Choice(["systemd", "cron"]),
        help="What starts the runs.  [default: systemd where this user has it]",
    ),
    click.option(
        "--replace",
        "replace_old",
        is_flag=True,
        help="Replace another schedule of the same name.",
    ),
    data_dir_option,
    workspace_option,
)
local_schedule_options = option_group("local", LocalOptions, _OPTIONS)
_LOCAL_ONLY: Final = frozenset(LocalOptions.__dataclass_fields__) - {"local"}
_SERVER_ONLY: Final = frozenset(
    {"start", "end", "max_concurrency", "experiment", "service_account", "url"}
    | {"token_file", "namespace", "kube_context", "timeout_seconds"}
)


def refuse_server_options(context: click.Context) -> None:
    """Rejects options that only a schedule of a server has.

    Raises:
      UsageError: One is given.
    """
    if given := _given(context, _SERVER_ONLY):
        raise UsageError(
            f"{given} belongs to a schedule of a server", "Leave it or --local out."
        )


def refuse_local_options(context: click.Context) -> None:
    """Rejects options that only a schedule of this machine has.

    Raises:
      UsageError: One is given.
    """
    if (given := _given(context, _LOCAL_ONLY)) == "--catch-up":
        raise UsageError(
            "--catch-up is not possible: Kubeflow Pipelines does not pass a run the "
            "missed day that it stands for, so all would read the same one",
            "Start one run for each missed day, such as "
            "`two-tower run --kubeflow --span 2026-03-01`.",
        )
    if given:
        raise UsageError(
            f"{given} belongs to a schedule of this machine", "Add --local."
        )


def _given(context: click.Context, parameters: frozenset[str]) -> str | None:
    """The first option of these that is on the command line."""
    source = click.core.ParameterSource.COMMANDLINE
    for option in context.command.params:
        name = option.name or ""
        if name in parameters and context.get_parameter_source(name) is source:
            return option.opts[0]
    return None
