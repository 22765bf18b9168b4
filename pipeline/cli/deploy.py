"""`two-tower deploy`."""

from __future__ import annotations

import click

from pipeline.cli.options import ConfigOptions, config_options
from pipeline.cli.server_options import Server, server_options, upload


@click.command()
@config_options
@click.option(
    "--pinned-span",
    is_flag=True,
    help="Every run must name its span; then unchanged ones come from the cache.",
)
@server_options
def deploy(
    *,
    options: ConfigOptions,
    pinned_span: bool,
    server: Server,
) -> None:
    """Compile the pipeline and upload it to a Kubeflow Pipelines 2.x server.

    Versions are named by the hash of their content: what is there is not uploaded
    again.

    \b
    Examples:
      two-tower deploy --endpoint http://localhost:8888
      two-tower deploy --set kubeflow.image=registry.example.com/two-tower:1
    """
    upload(server.connect(), options.load(), pinned_span=pinned_span)
