"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.runs.workspace import DEFAULT_ROOT, ENV_VAR

_Function = TypeVar("_Function", bound=Callable[..., Any])


def workspace_option(function: _Function) -> _Function:
    """Adds `--workspace`, given to the function as `workspace: Path`."""
    return click.option(
        "--workspace",
        "-w",
        type=click.Path(path_type=Path),
        default=DEFAULT_ROOT,
        envvar=ENV_VAR,
        show_default=True,
        show_envvar=True,
        help="Folder of metadata, artifacts, models, data and logs.",
    )(function)


def config_options(function: _Function) -> _Function:
    """Adds `--dataset`, `--config` and `--set`.

    The function gets `dataset: str | None`, `files: tuple[Path, ...]` and
    `assignments: tuple[str, ...]`.
    """
    for option in (
        click.option(
            "--set",
            "assignments",
            metavar="KEY=VALUE",
            multiple=True,
            help="Change one value, e.g. --set train.epochs=5; repeatable.",
        ),
        click.option(
            "--config",
            "-c",
            "files",
            type=click.Path(path_type=Path),
            multiple=True,
            help="YAML file over the defaults; repeatable, the last wins.",
        ),
        click.option(
            "--dataset",
            "-d",
            metavar="NAME",
            help="MovieLens edition, the same as --set data.dataset=NAME.  "
            "[default: ml-100k, or the name of --data-dir]",
        ),
    ):
        function = option(function)
    return function


def assignments_with_dataset(
    dataset: str | None, assignments: tuple[str, ...]
) -> tuple[str, ...]:
    """Turns `--dataset NAME` into the assignment that it stands for."""
    if dataset is None:
        return assignments
    return (f"data.dataset={dataset}", *assignments)
