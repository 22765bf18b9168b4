"""Options of the commands that talk to a Kubeflow Pipelines server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import option_group
from pipeline.cli.tables import echo
from pipeline.kubeflow.server.client import Client, Version
from pipeline.kubeflow.server.endpoint import Endpoint
from pipeline.kubeflow.server.runs import RunSettings

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

# Adds `--experiment` and `--service-account`; passed, together with the command's own
# `--span`, as `settings: RunSettings`.
run_settings_options = option_group(
    "settings",
    RunSettings,
    (
        click.option(
            "--experiment",
            help="Experiment of the runs.  [default: the pipeline's name]",
        ),
        click.option(
            "--service-account", help="Kubernetes account of the steps' containers."
        ),
    ),
    own=["span"],
)
# `pinned_span: bool`.
pinned_span_option = click.option(
    "--pinned-span",
    is_flag=True,
    help="Every run must name its span, and reuses cached results of the same span.",
)

# Adds the options of the server; passed as `server: Endpoint`.
server_options = option_group(
    "server",
    Endpoint,
    (
        click.option(
            "--endpoint",
            "url",
            metavar="URL",
            help="Address of the server.  [env: TWO_TOWER_KFP_ENDPOINT; else the "
            "cluster that this command runs in, else the kube config]",
        ),
        click.option(
            "--token-file",
            type=click.Path(path_type=Path),
            help="File with a bearer token.  [env: TWO_TOWER_KFP_TOKEN has the token; "
            "else the service account's]",
        ),
        click.option(
            "--namespace",
            "-n",
            help="Namespace of the runs, where there are several.  "
            "[env: TWO_TOWER_KFP_NAMESPACE]",
        ),
        click.option("--kube-context", help="Context of the kube config to use."),
        click.option(
            "--timeout",
            "timeout_seconds",
            type=click.FloatRange(min=0.1),
            default=30.0,
            show_default=True,
            help="Seconds to wait for an answer.",
        ),
    ),
)


def connect(server: Endpoint) -> Client:
    """Makes a client of the server and checks that the server answers.

    Raises:
      UserError: It cannot be reached, rejects us, or is of version 1.
    """
    client = Client(server)
    client.check()
    return client


def upload(
    client: Client,
    config: PipelineConfig,
    *,
    pinned_span: bool = False,
    no_cache: bool = False,
    push_again: str = "",
) -> Version:
    """Compiles the pipeline, and uploads it unless the server has this version."""
    echo(f"{'Server':<10}{client.url}")
    from pipeline.kubeflow_runner import compile_pipeline

    compiled = compile_pipeline(
        config, pinned_span=pinned_span, no_cache=no_cache, push_again=push_again
    )
    version = client.deploy(config.name, compiled.to_yaml())
    state = "uploaded" if version.is_new else "already on the server"
    echo(f"{'Pipeline':<10}{config.name}, version {version.name} ({state})")
    return version
