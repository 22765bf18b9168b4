"""`two-tower run --kubeflow`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from pipeline.cli.server_options import Server, upload
from pipeline.config import PipelineConfig
from trainer.errors import UsageError


@dataclass(frozen=True)
class KubeflowRequest:
    """The options of `two-tower run --kubeflow`.

    Attributes:
      config: The checked configuration.
      server: The server that runs the pipeline.
      span: Last span, or None for that of the configuration.
      wait: Whether to follow the run to its end.
      no_cache: Whether every step runs again.
      experiment: Experiment, or None for the pipeline's own.
      service_account: Account of the containers, or None for the default.
    """

    config: PipelineConfig
    server: Server
    span: str | None
    wait: bool
    no_cache: bool
    experiment: str | None
    service_account: str | None


def run_on_kubeflow(request: KubeflowRequest) -> int:
    """Uploads the pipeline, starts a run and, with `--wait`, follows it.

    Returns:
      1 if the run was followed and failed, else 0.
    """
    from pipeline.kubeflow.server import runs

    config = request.config
    client = request.server.connect()
    span = request.span or config.data.last_span
    if span is not None:
        runs.check_span(span)
    version = upload(
        client,
        config,
        pinned_span=runs.is_pinned(span),
        no_cache=request.no_cache,
    )
    settings = runs.RunSettings(request.experiment, request.service_account, span)
    run_id = runs.start(client, version, config.name, settings)
    click.echo(f"{'Run':<10}{runs.link(client, run_id)}")
    if not request.wait:
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
