"""`two-tower rollback`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import json_option, serving_dir_option, workspace_option
from pipeline.cli.tables import echo, print_json
from pipeline.runs.running import running_run
from pipeline.runs.workspace import Workspace

if TYPE_CHECKING:
    from components.serving_directory.withdrawal import Change


@click.command()
@click.option(
    "--to",
    metavar="VERSION",
    help="Version to make live.  [default: the one before the live one]",
)
@click.option(
    "--restore",
    metavar="VERSION",
    help="Put this version back, which an earlier rollback withdrew.",
)
@click.option("--reason", default="", help="Why, for the audit.")
@click.option(
    "--wait",
    type=click.FloatRange(0, 600),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="How long to leave withdrawn versions in place once the labels have moved, so "
    "that servers that poll models.config have left them.",
)
@serving_dir_option
@json_option
@workspace_option
def rollback(
    *,
    to: str | None,
    restore: str | None,
    reason: str,
    wait: float,
    serving_dir: str | None,
    as_json: bool,
    workspace: Path,
) -> None:
    """Go back to an older version of the served model.

    All newer versions are withdrawn: renamed to `.withdrawn-VERSION`, which TensorFlow
    Serving does not see. The label `stable` moves first, and takes a pin along; a
    canary among the newer versions is withdrawn, too. The next run compares its
    candidate with the version that is live then, and a run without a change does not
    push a withdrawn model again. `.audit.jsonl` in the serving directory says who did
    what.

    A script should name the version with --to, so that it can be repeated.

    \b
    Examples:
      two-tower rollback --reason "CTR fell"       to the version before the live one
      two-tower rollback --to 1795583486
      two-tower rollback --restore 1795623576      the rollback was a mistake
      two-tower rollback --to LIVE                 takes back the canary alone
    """
    from components.serving_directory import withdrawal

    if to is not None and restore is not None:
        raise click.UsageError("Give either --to or --restore.")
    is_of_workspace = serving_dir is None
    if serving_dir is None:
        opened = Workspace.open(workspace)
        serving_dir = str(opened.serving_dir)
        if run := running_run(opened):
            echo(
                f"The run {run.run_id} goes on. It fails before the push if its model "
                "was compared with a version that is not live any more.",
                err=True,
            )
    if restore is not None:
        change = withdrawal.restore(serving_dir, restore, reason=reason)
    else:
        change = withdrawal.roll_back(serving_dir, to, reason=reason, wait_seconds=wait)
    if change.fault:
        echo(f"Warning: {change.fault}", err=True)
    if is_of_workspace:
        from pipeline.monitoring.publisher import publish_again

        for fault in publish_again(workspace):
            echo(f"Warning: {fault}", err=True)
    if as_json:
        print_json(
            {
                "live": change.live,
                "was_live": change.live_before,
                "withdrawn": list(change.withdrawn),
                "restored": change.restored,
            }
        )
    else:
        _print_change(change)


def _print_change(change: Change) -> None:
    if change.restored:
        echo(f"Restored   {change.restored}")
    if change.withdrawn:
        names = ", ".join(change.withdrawn)
        echo(f"Withdrawn  {names}")
        example = change.withdrawn[-1]
        echo(f"           `two-tower rollback --restore {example}` puts it back")
    unchanged = change.live == change.live_before
    echo(f"Live       {change.live}{', as before' if unchanged else ''}")
