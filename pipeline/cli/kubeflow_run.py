"""`two-tower run --kubeflow`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.server_options import Server, upload
from pipeline.config import PipelineConfig
from trainer.errors import UsageError

if TYPE_CHECKING:
    from pipeline.kubeflow.server.runs import RunSettings


def run_on_kubeflow(
    config: PipelineConfig,
    server: Server,
    settings: RunSettings,
    *,
    wait: bool,
    no_cache: bool,
) -> int:
    """Uploads the pipeline, starts a run and, with `--wait`, follows it.

    Args:
      config: The configuration.
      server: The server that runs the pipeline.
      settings: Experiment, service account and span of the run.
      wait: Whether to follow the run to its end.
      no_cache: Whether every step runs again.

    Returns:
      1 if the run was followed and failed, else 0.
    """
    from pipeline.kubeflow.server import runs

    client = server.connect()
    if settings.span is not None:
        runs.check_span(settings.span)
    pinned = runs.is_pinned(settings.span)
    version = upload(client, config, pinned_span=pinned, no_cache=no_cache)
    run_id = runs.start(client, version, config.name, settings)
    click.echo(f"{'Run':<10}{runs.link(client, run_id)}")
    if not wait:
        return 0
    try:
        return 0 if runs.follow(client, run_id, click.echo) else 1
    except KeyboardInterrupt:
        click.echo("No longer waiting; the run continues.", err=True)
        raise


def check_only_kubeflow(data_dir: Path | None) -> None:
    """Rejects options that only a local run has.

    Raises:
      UsageError: `--data-dir` was given.
    """
    if data_dir is not None:
        raise UsageError(
            f"--data-dir {data_dir} is on this machine, which the cluster cannot read",
            "Give --set kubeflow.input_base=FOLDER, in a volume or at gs://, s3:// or "
            "minio://.",
        )


def check_not_kubeflow(*given: object) -> None:
    """Rejects options that only a run on Kubeflow has.

    Raises:
      UsageError: One of them was given.
    """
    if any(given):
        raise UsageError(
            "--wait, --span, --experiment, --service-account and the options of the "
            "server belong to --kubeflow",
            "Add --kubeflow, or give a local run its span with --set "
            "data.last_span=SPAN.",
        )
