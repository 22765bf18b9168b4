"""`two-tower config`."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.options import assignments_with_dataset, config_options


@click.command()
@config_options
def config(
    dataset: str | None, files: tuple[Path, ...], assignments: tuple[str, ...]
) -> None:
    """Print the configuration that a run would use, as YAML.

    \b
    Examples:
      two-tower config                          the defaults
      two-tower config --set train.epochs=5     checked, with one value changed
      two-tower config > mine.yaml              a file for --config
    """
    from pipeline.config.loading import dump, load

    assignments = assignments_with_dataset(dataset, assignments)
    click.echo(dump(load(files, assignments)), nl=False)
