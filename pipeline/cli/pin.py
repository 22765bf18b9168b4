"""`two-tower pin`."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.options import (
    json_option,
    serving_dir_option,
    serving_folder,
    workspace_option,
)
from pipeline.cli.promote import show


@click.command()
@click.argument("version", required=False)
@click.option("--off", is_flag=True, help="Let pushes move the label again.")
@click.option("--reason", default="", help="Why, for the audit.")
@serving_dir_option
@json_option
@workspace_option
def pin(
    *,
    version: str | None,
    off: bool,
    reason: str,
    serving_dir: str | None,
    as_json: bool,
    workspace: Path,
) -> None:
    """Keep the live model, or VERSION, live whatever is pushed.

    What is pushed meanwhile becomes the canary, and the pinned version is never removed
    as an old one. `two-tower promote` is refused; `two-tower rollback` is not, and
    takes the pin along.

    \b
    Examples:
      two-tower pin --reason "freeze before the holidays"
      two-tower pin 1795583486
      two-tower pin --off
    """
    from components.serving_directory import promotion

    if off and version is not None:
        raise click.UsageError("Give either VERSION or --off.")
    folder = serving_folder(serving_dir, workspace)
    if off:
        moved = promotion.unpin(folder, reason=reason)
    else:
        moved = promotion.pin(folder, version, reason=reason)
    show(moved, as_json, None if serving_dir else workspace)
