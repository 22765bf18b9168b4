"""`two-tower config`."""

from __future__ import annotations

import click

from pipeline.cli.options import ConfigOptions, run_config_options
from pipeline.cli.tables import echo
from pipeline.config.loading import dump


@click.command()
@run_config_options
def config(*, options: ConfigOptions) -> None:
    """Print the configuration that a run would use, as YAML.

    \b
    Examples:
      two-tower config                          the defaults
      two-tower config --set train.epochs=5     checked, with one value changed
      two-tower config > mine.yaml              a file for --config
    """
    echo(dump(options.load()), nl=False)
