"""`two-tower`, also `python -m pipeline`.

Commands are imported when they are called, so that `--help` stays instant; no module
here may import TensorFlow, TFX or Beam at its top level.
"""

from __future__ import annotations

import importlib
from typing import Any, Final, cast

import click

from pipeline.cli.boundary import (
    flush_output,
    hidden_library_logs,
    one_line_errors,
    standard_streams,
)
from pipeline.cli.tables import echo

_INTERRUPT_EXIT: Final = 130  # 128 + SIGINT, as shells do

# Name -> line in `two-tower --help`. `pipeline/cli/<name>.py` defines `<name>`, both
# with `_` for `-`.
COMMANDS: Final = {
    "run": "Train, evaluate and push a model; unchanged steps are cached.",
    "retrain": "Retrain on a new span; made to be started by a clock.",
    "rehearse": "Replay real ratings in time, and compare ways of retraining.",
    "tune": "Search for better hyperparameters, on the train split alone.",
    "recommend": "Ask the newest pushed model what a user should watch next.",
    "serve": "Serve the pushed model on this machine, over HTTP and gRPC.",
    "feedback": "Show how served recommendations did, by later ratings.",
    "batch-recommend": "Recommend to all users, to Parquet; compare with a candidate.",
    "export-embeddings": "Export ids and embeddings to Parquet, for other indexes.",
    "runs": "List the runs of a workspace.",
    "history": "Show quality and cost of all runs over time, with what became worse.",
    "report": "Show why a model was or was not blessed, and the path of its report.",
    "compare": "Compare configuration, data and metrics of two runs.",
    "lineage": "Show the data, code and settings that a pushed model came from.",
    "approve": "Push the model of a run that waits for approval.",
    "models": "List the pushed models: labels, metrics, data, size and age.",
    "promote": "Make the canary, or another version, the live model.",
    "pin": "Keep a version live, whatever is pushed.",
    "rollback": "Go back to an older version of the served model.",
    "monitoring": "Publish metrics of retrainings; export alerts and a dashboard.",
    "clean": "Delete artifacts and logs of old runs; without --yes only list them.",
    "config": "Print the configuration that a run would use, as YAML.",
    "data": "Fetch MovieLens and look at it.",
    "compile": "Compile the pipeline for Kubeflow Pipelines.",
    "deploy": "Upload the pipeline to a Kubeflow Pipelines server.",
    "schedule": "Retrain at fixed times, on Kubeflow or on this machine.",
    "notify": "Send a test message through every channel of notifications.",
    "worker-pool": "Start Python workers for an engine such as Flink.",
    "doctor": "Check versions, data, memory and disk, and with --engine a cluster.",
}


class _LazyGroup(click.Group):
    """Imports a command when it is called, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"{__name__}.{name}")
        return cast(click.Command, getattr(module, name))

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with one_line_errors(ctx.obj):
                result = super().invoke(ctx)
                flush_output()
                return result
        except KeyboardInterrupt:
            echo("Interrupted.", err=True)
            ctx.exit(_INTERRUPT_EXIT)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with one_line_errors():  # `--help` prints here
            return super().make_context(*args, **kwargs)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        with standard_streams(), hidden_library_logs() as log:
            return super().main(*args, obj=log, **kwargs)


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `two-tower run`, then `two-tower recommend --user 42`.",
)
@click.version_option(package_name="two-tower", prog_name="two-tower")
def main() -> None:
    """Train, evaluate and serve a two-tower movie recommender from MovieLens ratings.

    \b
    Examples:
      two-tower run                        MovieLens-100K, from download to pushed model
      two-tower recommend --user 42        ten movies that user 42 has not rated
      two-tower doctor                     checks the installation
    """
