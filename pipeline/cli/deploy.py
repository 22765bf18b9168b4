"""`two-tower deploy`."""

from __future__ import annotations

import click

from pipeline.cli.options import ConfigOptions, run_config_options
from pipeline.cli.server_options import (
    connect,
    pinned_span_option,
    server_options,
    upload,
)
from pipeline.kubeflow.server.endpoint import Endpoint


@click.command()
@run_config_options
@pinned_span_option
@server_options
def deploy(*, options: ConfigOptions, pinned_span: bool, server: Endpoint) -> None:
    """Compile the pipeline and upload it to a Kubeflow Pipelines 2.x server.

    Versions are named by the hash of their content. A version that is on the server is
    not uploaded again.

    \b
    Examples:
      two-tower deploy --endpoint http://localhost:8888
      two-tower deploy --set kubeflow.image=registry.example.com/two-tower:1
    """
    upload(connect(server), options.load(), pinned_span=pinned_span)
