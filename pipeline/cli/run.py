"""`two-tower run`."""

from __future__ import annotations

import time
from dataclasses import astuple, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import (
    ConfigOptions,
    data_dir_option,
    no_cache_option,
    run_config_options,
    workspace_option,
)
from pipeline.cli.run_report import report_run
from pipeline.cli.server_options import (
    connect,
    run_settings_options,
    server_options,
    upload,
)
from pipeline.cli.tables import echo, make_console
from pipeline.kubeflow.server import runs
from pipeline.kubeflow.server.endpoint import Endpoint
from pipeline.local.run_view import RunView
from trainer.errors import UsageError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig


@click.command()
@run_config_options
@data_dir_option
@no_cache_option
@click.option(
    "--push-again",
    is_flag=True,
    help="Push the model even if it was pushed before and taken away.",
)
@workspace_option
@click.option(
    "--kubeflow", is_flag=True, help="Run on a Kubeflow server instead of this machine."
)
@click.option(
    "--wait", is_flag=True, help="With --kubeflow: wait for the end of the run."
)
@click.option(
    "--span",
    help="With --kubeflow: last span to read, such as 12, 2026-03-01 or yesterday.",
)
@run_settings_options
@server_options
@click.pass_context
def run(
    context: click.Context,
    *,
    options: ConfigOptions,
    data_dir: Path | None,
    no_cache: bool,
    push_again: bool,
    workspace: Path,
    kubeflow: bool,
    wait: bool,
    settings: runs.RunSettings,
    server: Endpoint,
) -> None:
    """Train, evaluate and push a model; unchanged steps are taken from the cache.

    \b
    Examples:
      two-tower run                              MovieLens-100K, downloaded first
      two-tower run --data-dir ~/ml-100k         your own files
      two-tower run --set train.epochs=5         one value changed
      two-tower run -c mine.yaml -w /data/ws     own configuration and workspace
      two-tower run --workers 2                  training by two processes
      two-tower run --kubeflow --wait            on a cluster: see kubeflow/README.md

    The exit code is 0 even if the model was not blessed: the summary says why, and the
    served model stays. It is 1 if a step failed, 2 if the command line or the
    configuration is wrong.
    """
    if kubeflow:
        if data_dir is not None:
            raise UsageError(
                f"--data-dir {data_dir} is on this machine, which the cluster cannot "
                "read",
                "Give --set kubeflow.input_base=FOLDER, in a volume or at gs://, s3:// "
                "or minio://.",
            )
        config = options.load()
        span = settings.span or config.data.last_span
        settings = replace(settings, span=span)
        # No earlier run had this value, so that no cache has the step.
        again = f"{time.time_ns()}" if push_again else ""
        context.exit(
            _run_on_kubeflow(
                *(config, server, settings, wait), no_cache=no_cache, push_again=again
            )
        )
    source = context.get_parameter_source("timeout_seconds")
    has_timeout = source is not click.core.ParameterSource.DEFAULT
    if wait or any(astuple(settings)) or server.is_given or has_timeout:
        raise UsageError(
            "--wait, --span, --experiment, --service-account and the options of the "
            "server, --timeout among them, belong to --kubeflow",
            "Add --kubeflow, or give a local run its span with --set "
            "data.last_span=SPAN.",
        )
    from pipeline.local.session import run_pipeline

    config = options.load(data_dir)
    console = make_console()
    summary, files = run_pipeline(
        config,
        workspace,
        RunView(console),
        data_dir=data_dir,
        no_cache=no_cache,
        push_again=push_again,
    )
    context.exit(report_run(console, summary, files))


def _run_on_kubeflow(
    config: PipelineConfig,
    server: Endpoint,
    settings: runs.RunSettings,
    wait: bool,
    *,
    no_cache: bool,
    push_again: str,
) -> int:
    """Uploads the pipeline and starts a run; returns 1 if it is seen to fail."""
    client = connect(server)
    if settings.span is not None:
        runs.check_span(settings.span)
    pinned = runs.is_pinned(settings.span)
    version = upload(
        *(client, config),
        pinned_span=pinned,
        no_cache=no_cache,
        push_again=push_again,
    )
    run_id = runs.start(client, version, config.name, settings)
    echo(f"{'Run':<10}{client.url}/#/runs/details/{run_id}")
    if not wait:
        return 0
    try:
        return 0 if runs.follow(client, run_id, echo) else 1
    except KeyboardInterrupt:
        echo("No longer waiting; the run continues.", err=True)
        raise
