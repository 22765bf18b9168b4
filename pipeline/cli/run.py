"""`two-tower run`."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.options import (
    ConfigOptions,
    config_options,
    data_dir_option,
    no_cache_option,
    workspace_option,
)
from pipeline.cli.server_options import Server, experiment_options, server_options


@click.command()
@config_options
@data_dir_option
@no_cache_option
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
@experiment_options
@server_options
@click.pass_context
def run(
    context: click.Context,
    *,
    options: ConfigOptions,
    data_dir: Path | None,
    no_cache: bool,
    workspace: Path,
    kubeflow: bool,
    wait: bool,
    span: str | None,
    experiment: str | None,
    service_account: str | None,
    server: Server,
) -> None:
    """Train, evaluate and push a model; unchanged steps are taken from the cache.

    \b
    Examples:
      two-tower run                              MovieLens-100K, downloaded first
      two-tower run --data-dir ~/ml-100k         your own files
      two-tower run --set train.epochs=5         one value changed
      two-tower run -c mine.yaml -w /data/ws     own configuration and workspace
      two-tower run --kubeflow --wait            on a cluster: see kubeflow/README.md

    The exit code is 0 even if the model was not blessed: the summary says why, and the
    served model stays. It is 1 if a step failed, 2 if the command line or the
    configuration is wrong.
    """
    from pipeline.cli.kubeflow_run import (
        check_not_kubeflow,
        check_only_kubeflow,
        run_on_kubeflow,
    )
    from pipeline.cli.run_report import run_and_report
    from pipeline.datasets.source import check
    from pipeline.kubeflow.server.runs import RunSettings
    from pipeline.local.session import RunRequest

    if kubeflow:
        check_only_kubeflow(data_dir)
        config = options.load()
        span = span or config.data.last_span
        settings = RunSettings(experiment, service_account, span)
        code = run_on_kubeflow(config, server, settings, wait=wait, no_cache=no_cache)
        context.exit(code)
    check_not_kubeflow(wait, span, experiment, service_account, server.is_given)
    config = options.load(data_dir)
    check(config.data, data_dir)
    context.exit(run_and_report(RunRequest(config, workspace, data_dir, no_cache)))
