"""`two-tower promote`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import (
    json_option,
    serving_dir_option,
    serving_folder,
    workspace_option,
)
from pipeline.cli.tables import echo, print_json

if TYPE_CHECKING:
    from components.serving_directory.promotion import Moved


@click.command()
@click.argument("version", required=False)
@click.option("--reason", default="", help="Why, for the audit.")
@serving_dir_option
@json_option
@workspace_option
def promote(
    *,
    version: str | None,
    reason: str,
    serving_dir: str | None,
    as_json: bool,
    workspace: Path,
) -> None:
    """Make the canary the live model, or VERSION, newer or older.

    The label `stable` moves, and with it `models.config`, which TensorFlow Serving
    polls; no version is withdrawn. A server that takes the newest version instead stays
    where it is: see `two-tower rollback`.

    \b
    Examples:
      two-tower promote --reason "a week without complaints"
      two-tower promote 1795583486
    """
    from components.serving_directory import promotion

    folder = serving_folder(serving_dir, workspace)
    moved = promotion.promote(folder, version, reason=reason)
    show(moved, as_json, None if serving_dir else workspace)


def show(moved: Moved, as_json: bool, workspace: Path | None) -> None:
    """Prints the labels after a move, and publishes what is live.

    Args:
      moved: The move.
      as_json: Whether to print JSON.
      workspace: The workspace that the serving directory belongs to; None if none.
    """
    before, after = moved.before, moved.after
    if workspace is not None and before.stable != after.stable:
        from pipeline.monitoring.publisher import publish_again

        for fault in publish_again(workspace):
            echo(f"Warning: {fault}", err=True)
    if as_json:
        content = {"live": after.stable, "was_live": before.stable}
        print_json({**content, "canary": after.canary, "pinned": after.pinned})
        return
    was = "as before" if before.stable == after.stable else f"before: {before.stable}"
    echo(f"Live       {after.stable or 'nothing'}, {was}")
    echo(f"Canary     {after.canary or '-'}")
    if after.pinned:
        echo("Pinned     pushes become the canary; `two-tower pin --off` ends that")
