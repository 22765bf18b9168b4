"""`two-tower monitoring`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import ConfigOptions, config_options, workspace_option
from pipeline.cli.tables import echo
from trainer.errors import UsageError, UserError

if TYPE_CHECKING:
    from pipeline.retraining.outcome import Outcome


@click.group()
def monitoring() -> None:
    """Publish metrics of retrainings, and export alerts and a dashboard."""


@monitoring.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def export(folder: Path) -> None:
    """Copy the alerts for Prometheus and the dashboard for Grafana to FOLDER.

    \b
    Examples:
      two-tower monitoring export /etc/prometheus/rules
    """
    from pipeline.monitoring import files

    try:
        copies = files.export(folder)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror}", "Choose another folder."
        ) from error
    for path in copies:
        echo(str(path))


@monitoring.command()
@config_options
@workspace_option
def publish(options: ConfigOptions, workspace: Path) -> None:
    """Publish the metrics of the last retraining again, with what is live now.

    Each retraining does so itself. This is for a change of what is live without a
    retraining, a push gateway that was restarted, or new settings.

    \b
    Examples:
      two-tower monitoring publish --config weekly.yaml
    """
    from pipeline.monitoring import publisher

    config = options.load().monitoring
    if config.textfile_dir is None and config.push_gateway.url is None:
        raise UsageError(
            "There is nowhere to publish to",
            "Set monitoring.textfile_dir or monitoring.push_gateway.url.",
        )
    faults = publisher.publish(_last(workspace), config)
    if faults:
        raise UserError("; ".join(faults), "See docs/retraining.md, Monitoring.")


@monitoring.command()
@config_options
@workspace_option
def show(options: ConfigOptions, workspace: Path) -> None:
    """Print the metrics in Prometheus' text format, and publish nothing.

    \b
    Examples:
      two-tower monitoring show | promtool check metrics
    """
    from pipeline.monitoring import publisher

    config = options.load().monitoring
    echo(publisher.exposition(_last(workspace), config), nl=False)


def _last(root: Path) -> Outcome:
    """The last outcome that was recorded.

    Raises:
      UserError: There is no workspace, or no retraining in it.
    """
    from pipeline.retraining.outcome_log import read_outcomes
    from pipeline.runs.workspace import Workspace

    workspace = Workspace.open(root)
    outcomes = read_outcomes(workspace.root)
    if not outcomes:
        raise UserError(
            f"No retraining was recorded in {workspace.root} yet",
            "Run `two-tower retrain` first.",
        )
    # The workspace may have been moved since.
    return dataclasses.replace(outcomes[-1], workspace=str(workspace.root))
