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
@click.option("--kubeflow", is_flag=True, help="Run it on a Kubeflow server, not here.")
@click.option(
    "--wait", is_flag=True, help="With --kubeflow: follow the run to its end."
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
    """Train, evaluate and push a model; steps that did not change are cached.

    \b
    Examples:
      two-tower run                              MovieLens-100K, fetched if need be
      two-tower run --data-dir ~/ml-100k         the files that you have
      two-tower run --set train.epochs=5         one value changed
      two-tower run -c mine.yaml -w /data/ws     own configuration and workspace
      two-tower run --kubeflow --wait            on a cluster: see kubeflow/README.md

    The exit code is 0 also where the model was not blessed: the summary says why, and
    the model that is being served stays. It is 1 where a step failed, 2 where the
    command line or the configuration is wrong.
    """
    from pipeline.cli.kubeflow_run import (
        KubeflowRequest,
        check_not_kubeflow,
        check_only_kubeflow,
        run_on_kubeflow,
    )
    from pipeline.cli.run_report import run_and_report
    from pipeline.datasets.source import check
    from pipeline.local.session import RunRequest

    if kubeflow:
        check_only_kubeflow(data_dir)
        request = KubeflowRequest(
            options.load(),
            server,
            span,
            wait,
            no_cache,
            experiment,
            service_account,
        )
        context.exit(run_on_kubeflow(request))
    check_not_kubeflow(wait, span, experiment, service_account, server.is_given)
    config = options.load(data_dir)
    check(config.data, data_dir)
    context.exit(run_and_report(RunRequest(config, workspace, data_dir, no_cache)))
