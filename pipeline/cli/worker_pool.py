"""`two-tower worker-pool`."""

from __future__ import annotations

import click


@click.command("worker-pool")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=50000,
    show_default=True,
    help="Port at which engines ask for workers.",
)
def worker_pool(*, port: int) -> None:
    """Start Python workers for an engine, as its external environment.

    Runs beside each worker of the engine: a sidecar of each TaskManager of Flink, a
    service on each machine of Spark. Python, Beam and this package must have the same
    versions as where the pipeline is started; `two-tower doctor --engine` compares
    them. It ends with SIGTERM, and its workers with it.

    \b
    Examples:
      two-tower worker-pool --port 50000
      two-tower run --engine flink --set engine.environment_config=localhost:50000 ...
    """
    from pipeline.engines.worker_pool import serve

    serve(port)
