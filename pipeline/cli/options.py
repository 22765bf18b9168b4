"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.runs.workspace import DEFAULT_ROOT, ENV_VAR, Workspace

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

# Given to the command as `workspace: Path`.
workspace_option = click.option(
    "--workspace",
    "-w",
    type=click.Path(path_type=Path),
    default=DEFAULT_ROOT,
    envvar=ENV_VAR,
    show_default=True,
    show_envvar=True,
    help="Folder of metadata, artifacts, models, data and logs.",
)
# `data_dir: Path | None`.
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Folder with MovieLens files, in place of the edition in the workspace.",
)
# `serving_dir: str | None`.
serving_dir_option = click.option(
    "--serving-dir",
    metavar="FOLDER",
    help="Folder of the served versions, in place of the workspace's.",
)


def serving_folder(serving_dir: str | None, workspace: Path) -> str:
    """The folder of `--serving-dir`, or else the workspace's."""
    return serving_dir or str(Workspace.open(workspace).serving_dir)


# `as_json: bool`.
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of text."
)
# `no_cache: bool`.
no_cache_option = click.option(
    "--no-cache",
    is_flag=True,
    help="Run every step, also those whose inputs did not change.",
)

_CONFIG_OPTIONS = (
    click.option(
        "--dataset",
        "-d",
        metavar="NAME",
        help="MovieLens edition, the same as --set data.dataset=NAME.  "
        "[default: ml-100k, or the name of --data-dir]",
    ),
    click.option(
        "--config",
        "-c",
        "files",
        type=click.Path(path_type=Path),
        multiple=True,
        help="YAML file or packaged preset over the defaults; repeatable, the last "
        "wins.",
    ),
    click.option(
        "--set",
        "assignments",
        metavar="KEY=VALUE",
        multiple=True,
        help="Change one value, e.g. --set train.epochs=5; repeatable.",
    ),
)
_ENGINE_OPTION = click.option(
    "--engine",
    metavar="NAME",
    help="Where Beam runs: local, multiprocess, portable, flink, spark or dataflow; "
    "the same as --set engine.runner=NAME.",
)
_WORKERS_OPTION = click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes that train together, the same as --set train.workers=N.",
)


@dataclass(frozen=True)
class ConfigOptions:
    """The configuration as given on the command line.

    Attributes:
      dataset: `--dataset`.
      files: Every `--config`.
      assignments: Every `--set`.
      engine: `--engine`, of the commands that run the pipeline.
      workers: `--workers`, of the same commands.
    """

    dataset: str | None = None
    files: tuple[Path, ...] = ()
    assignments: tuple[str, ...] = ()
    engine: str | None = None
    workers: int | None = None

    def load(self, data_dir: Path | None = None, *more: str) -> PipelineConfig:
        """Loads and checks the configuration.

        Args:
          data_dir: Folder with the user's own files. Its name is the dataset's if
            no option names one: such files are not ML-100K by default.
          *more: Further assignments, which win over all others.

        Raises:
          UsageError: The configuration is invalid.
        """
        from pipeline.config.loading import load

        default = data_dir.resolve().name if data_dir else None
        return load(self.files, (*self.all_assignments, *more), default)

    @property
    def all_assignments(self) -> tuple[str, ...]:
        """Every `--set`, after those that options of their own stand for."""
        named = {
            "data.dataset": self.dataset,
            "engine.runner": self.engine,
            "train.workers": self.workers,
        }
        given = (f"{key}={value}" for key, value in named.items() if value is not None)
        return (*given, *self.assignments)


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what a request may ask for.

    `genres: tuple[str, ...]`; `from_year` and `to_year`: int | None; `diversity: float`
    """
    year = click.IntRange(1)
    for option in (
        click.option(
            "--diversity",
            type=click.FloatRange(0, 1, max_open=True),
            default=0.0,
            help="Re-rank for a more varied list (MMR): from 0, by score alone, to "
            "less than 1.  [default: 0]",
        ),
        click.option("--to-year", type=year, help="Only movies until this year."),
        click.option("--from-year", type=year, help="Only movies since this year."),
        click.option(
            "--genre",
            "genres",
            metavar="GENRE",
            multiple=True,
            help="Only movies of this genre; several are alternatives.",
        ),
    ):
        function = option(function)
    return function


def option_group(
    parameter: str,
    group: type[Any],
    options: Sequence[_Decorator],
    own: Sequence[str] = (),
) -> _Decorator:
    """Makes a decorator that adds options whose values arrive as one object.

    Args:
      parameter: Name under which the command gets the object.
      group: Dataclass of the object, with a field for each of the options.
      options: From `click.option`, in the order of the help text.
      own: Further fields, which options of the command itself set.
    """

    def declared() -> None:
        """Collects the options, whose parameters are the fields to set."""

    for option in options:
        option(declared)
    names = [option.name for option in vars(declared)["__click_params__"]]
    names += own

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(**given: Any) -> Any:
            given[parameter] = group(**{name: given.pop(name) for name in names})
            return function(**given)

        decorated: Callable[..., Any] = wrapper
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


# Adds `--dataset`, `--config` and `--set`; passed as `options: ConfigOptions`.
config_options = option_group("options", ConfigOptions, _CONFIG_OPTIONS)
# The same with `--engine`, for what trains several models, each in one process.
engine_config_options = option_group(
    "options", ConfigOptions, (*_CONFIG_OPTIONS, _ENGINE_OPTION)
)
# The same with `--workers`, too, for what runs the pipeline.
run_config_options = option_group(
    "options", ConfigOptions, (*_CONFIG_OPTIONS, _ENGINE_OPTION, _WORKERS_OPTION)
)
# `--config`, `--set` and `--engine`, for what needs no data.
engine_options = option_group(
    "options", ConfigOptions, (*_CONFIG_OPTIONS[1:], _ENGINE_OPTION)
)
