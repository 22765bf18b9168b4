"""`two-tower serve`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from pipeline.cli.options import workspace_option
from pipeline.cli.tables import echo
from pipeline.runs.workspace import Workspace
from pipeline.serving.running_server import DEFAULT_MODEL_NAME, RunningServer, announced
from trainer.errors import UsageError

if TYPE_CHECKING:
    from pipeline.serving.server.models import ModelVersions
    from pipeline.serving.server.process import Listeners

_LARGEST_PORT: Final = 65_535


def _port_or_off(ctx: click.Context, param: click.Parameter, value: str) -> int | None:
    """Returns a port, or None for `off`."""
    if value == "off":
        return None
    if not (value.isascii() and value.isdigit()) or int(value) > _LARGEST_PORT:
        raise click.BadParameter(f"{value!r} is neither a port nor `off`.")
    return int(value)


@click.command()
@click.option(
    "--serving-dir",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Versions to serve.  [default: those of the workspace]",
)
@click.option(
    "--model",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Serve this one SavedModel instead.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Interface to listen on; 0.0.0.0 is all of them.",
)
@click.option(
    "--port",
    type=click.IntRange(0, _LARGEST_PORT),
    default=8501,
    show_default=True,
    help="Port of HTTP; 0 is any that is free.",
)
@click.option(
    "--grpc-port",
    metavar="PORT|off",
    callback=_port_or_off,
    default="8500",
    show_default=True,
    help="Port of gRPC.",
)
@click.option(
    "--model-name", default=DEFAULT_MODEL_NAME, show_default=True, metavar="NAME"
)
@click.option(
    "--canary-percent",
    type=click.FloatRange(0, 100),
    default=0,
    show_default=True,
    help="Share of the users who get the version labelled `canary`.",
)
@click.option(
    "--log-impressions",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep what is recommended to whom, for `two-tower feedback`.",
)
@click.option(
    "--demo",
    is_flag=True,
    help="Offer the demo page at /demo; it shows what every user has watched.",
)
@workspace_option
def serve(
    *,
    serving_dir: str | None,
    model: Path | None,
    host: str,
    port: int,
    grpc_port: int | None,
    model_name: str,
    canary_percent: float,
    log_impressions: Path | None,
    demo: bool,
    workspace: Path,
) -> None:
    """Serve the pushed model on this machine, as TensorFlow Serving does.

    HTTP and gRPC are those of TensorFlow Serving, so that its clients work unchanged. A
    version that is pushed, promoted or rolled back is taken over within seconds, and no
    request fails meanwhile. Ctrl+C or SIGTERM ends the server after the requests that
    have begun.

    There is no authentication: whoever reaches the port may ask for every user.

    \b
    Examples:
      two-tower serve --demo
      two-tower serve --canary-percent 10 --log-impressions impressions
      curl -d '{"instances": [{"user_id": "42", "k": 10}]}' \\
        localhost:8501/v1/models/two-tower:predict
    """
    if model is not None and serving_dir is not None:
        raise click.UsageError("Give either --serving-dir or --model.")
    if serving_dir is not None and "://" in serving_dir:
        raise UsageError(
            f"--serving-dir is {serving_dir}, but this server reads only folders",
            "Mount or copy it, or serve it with TensorFlow Serving.",
        )
    if not model_name or set(model_name) & set("/:"):
        raise UsageError(
            f"--model-name is {model_name!r}", "Give a name without / and :."
        )
    from pipeline.serving.server import logs
    from pipeline.serving.server.app import create_app
    from pipeline.serving.server.predictor import Predictor
    from pipeline.serving.server.process import bind, freeze_imports
    from pipeline.serving.server.process import serve as serve_until_stopped

    logs.start()
    versions, root = _versions(model_name, model, serving_dir, workspace)
    listeners = bind(host, port, grpc_port)
    if log_impressions is not None:
        log_impressions.mkdir(parents=True, exist_ok=True)
    freeze_imports()
    versions.refresh()
    versions.start()
    predictor = Predictor(
        versions, canary_percent=canary_percent, log_impressions=log_impressions
    )
    server = RunningServer(listeners.url, model_name, os.getpid())
    app = create_app(versions, predictor, demo)
    with announced(root, server):
        serve_until_stopped(
            app, predictor, listeners, lambda: _say(versions, listeners, demo)
        )
    echo("Stopped.", err=True)


def _versions(
    name: str, model: Path | None, serving_dir: str | None, workspace: Path
) -> tuple[ModelVersions, Path | None]:
    """Returns what to serve, and the workspace that it belongs to."""
    from pipeline.serving.server.models import ModelVersions

    if model is not None:
        return ModelVersions.of_model(Path(os.path.abspath(model)), name), None
    if serving_dir is not None:
        return ModelVersions.of_serving_dir(Path(serving_dir), name), None
    opened = Workspace.open(workspace)
    opened.live_model()  # says what to do where there is none
    return ModelVersions.of_serving_dir(opened.serving_dir, name), opened.root


def _say(versions: ModelVersions, listeners: Listeners, demo: bool) -> None:
    echo(f"Serving {versions.get().folder}")
    echo(f"REST:  {listeners.url}/v1/models/{versions.name}:predict")
    if demo:
        echo(f"Demo:  {listeners.url}/demo/")
    if listeners.grpc:
        echo(f"gRPC:  {listeners.grpc}")
    sys.stdout.flush()
