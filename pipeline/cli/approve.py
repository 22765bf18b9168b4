"""`two-tower approve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import json_option, serving_dir_option, workspace_option
from pipeline.cli.tables import echo, print_json
from pipeline.runs.workspace import Workspace

if TYPE_CHECKING:
    from components.pusher.approval import Approval


@click.command()
@click.argument("run", required=False)
@click.option("--reason", default="", help="Why, for the audit.")
@click.option(
    "--force",
    is_flag=True,
    help="Push it although another model is live than it was compared with, or it "
    "was taken away before.",
)
@click.option(
    "--model",
    metavar="FOLDER",
    help="In place of RUN: the artifact `pushed_model`, as of a run on Kubeflow.",
)
@serving_dir_option
@json_option
@workspace_option
def approve(
    *,
    run: str | None,
    reason: str,
    force: bool,
    model: str | None,
    serving_dir: str | None,
    as_json: bool,
    workspace: Path,
) -> None:
    """Push the model of a run that waits for approval, as it was evaluated.

    With eval.approval=manual, a run whose model is blessed and servable ends before the
    push. RUN is its id or the beginning of one, or "latest". The command can be
    repeated; it never pushes a model twice.

    \b
    Examples:
      two-tower run --set eval.approval=manual
      two-tower report latest --open
      two-tower approve latest --reason "slices looked at"
      two-tower approve --model gs://bucket/.../pushed_model/42 \\
          --serving-dir gs://bucket/serving
    """
    if (run is None) == (model is None):
        raise click.UsageError("Give either RUN or --model.")
    if (model is None) != (serving_dir is None):
        raise click.UsageError("--model and --serving-dir belong together.")
    if model is not None and serving_dir is not None:
        from components.pusher import approval

        done = approval.approve(model, serving_dir, reason=reason, force=force)
        what = model
    else:
        from pipeline.monitoring.publisher import publish_again
        from pipeline.runs.approval import approve_run

        opened = Workspace.open(workspace)
        with opened.lock():
            found, done = approve_run(opened, run or "", reason=reason, force=force)
        what = found.run_id
        for fault in publish_again(opened.root):
            echo(f"Warning: {fault}", err=True)
    if as_json:
        content = {"version": done.version, "pushed": done.is_new, "live": done.live}
        print_json({"model" if model else "run": what, **content})
    else:
        _print(what, done)


def _print(what: str, done: Approval) -> None:
    echo(f"Approved   {what}")
    before = "" if done.is_new else ", which was pushed before"
    echo(f"Pushed     version {done.version}{before}")
    echo(f"Live       {done.live or 'nothing'}")
