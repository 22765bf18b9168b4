"""The commands of `two-tower data` that make new folders."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from pipeline.cli.options import (
    ConfigOptions,
    config_options,
    data_dir_option,
    workspace_option,
)


@click.command("split-spans")
@click.argument("target", type=click.Path(path_type=Path))
@config_options
@data_dir_option
@click.option(
    "--spans", type=click.IntRange(min=2), help="So many spans of equal size."
)
@click.option(
    "--days", type=click.IntRange(min=1), help="Spans of so many days, named by date."
)
@workspace_option
def split_spans(
    *,
    target: Path,
    options: ConfigOptions,
    data_dir: Path | None,
    spans: int | None,
    days: int | None,
    workspace: Path,
) -> None:
    """Cut an edition by time into spans in the new folder TARGET.

    This rehearses retraining: `two-tower run --data-dir TARGET` with
    `--set data.last_span=1`, then 2, and so on.

    \b
    Examples:
      two-tower data split-spans spans --spans 5
      two-tower data split-spans days --days 30 --data-dir ~/ml-25m
    """
    from pipeline.datasets import split_spans as splitting
    from pipeline.datasets.source import check
    from trainer.errors import UsageError

    if (spans is None) == (days is None):
        raise UsageError("split-spans needs --spans or --days", "Give one of them.")
    config = options.load().data
    check(config, data_dir)
    folder = data_dir or fetched_folder(workspace, config.dataset)
    made = splitting.split_spans(
        folder, target, num_spans=spans, days=days, config=config
    )
    for name, count in made:
        click.echo(f"{target / name}  {count:,} ratings")


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--ratings", default="100k", show_default=True, help="About how many: 500k, 25m."
)
@click.option("--users", type=int, help="[default: ratings / 150]")
@click.option("--movies", type=int, help="[default: as in an edition of that size]")
@click.option(
    "--format",
    "family",
    type=click.Choice(["csv", "ml-100k"]),
    default="csv",
    show_default=True,
    help="Whose files to imitate.",
)
@click.option("--seed", type=int, default=42, show_default=True)
def synthesize(
    *,
    target: Path,
    ratings: str,
    users: int | None,
    movies: int | None,
    family: Literal["csv", "ml-100k"],
    seed: int,
) -> None:
    """Make up ratings with a planted taste, in the new folder TARGET.

    Equal options give equal files. Popularity, activity and times are as in MovieLens.

    \b
    Examples:
      two-tower data synthesize made-up --ratings 1m
      two-tower data synthesize tiny --ratings 4k --users 200 --movies 200
    """
    from pipeline.datasets import synthesize as making
    from pipeline.datasets.synthesis_config import config_of_size, parse_count

    config = config_of_size(
        parse_count(ratings), users=users, movies=movies, family=family, seed=seed
    )
    written = making.synthesize(target, config)
    click.echo(
        f"{target}  {written:,} ratings, {config.users:,} users, "
        f"{config.movies:,} movies"
    )


def fetched_folder(workspace: Path, dataset: str) -> Path:
    """The folder of an edition in the workspace.

    Raises:
      UserError: It was not fetched yet.
    """
    from pipeline.runs.workspace import Workspace
    from trainer.errors import UserError

    folder = Workspace.open(workspace).data_dir(dataset)
    if not folder.is_dir():
        raise UserError(
            f"{dataset} is not in the workspace {workspace}",
            f"Run `two-tower data fetch {dataset}`, or give --data-dir.",
        )
    return folder
