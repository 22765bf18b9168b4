"""`two-tower clean`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import click

from pipeline.cli.options import json_option, workspace_option
from pipeline.cli.tables import echo, print_json, print_table
from pipeline.runs.cleaning import Plan, carry_out, plan
from pipeline.runs.workspace import Workspace


@click.command()
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Successful runs to keep, with every run after the oldest of them.",
)
@click.option(
    "--versions",
    type=click.IntRange(min=1),
    help="Number of newest served versions to keep, and of withdrawn ones.  "
    "[default: all]",
)
@click.option("--yes", is_flag=True, help="Delete; without it the command only lists.")
@json_option
@workspace_option
def clean(
    keep: int, versions: int | None, yes: bool, as_json: bool, workspace: Path
) -> None:
    """Delete the artifacts and logs of old runs and, on request, old versions.

    The run that pushed a served version is kept. Deleted artifacts are never taken from
    the cache again; `two-tower runs`, `compare` and `lineage` still show what the runs
    were judged by. What killed runs left behind is deleted too. Nothing outside of the
    workspace is deleted, and no link is followed.

    \b
    Examples:
      two-tower clean
      two-tower clean --keep 10 --versions 3 --yes
    """
    opened = Workspace.open(workspace)
    with opened.lock():
        found = plan(opened, keep=keep, versions=versions)
        if yes:
            carry_out(opened, found)
    if as_json:
        print_json(
            {
                "removed": yes,
                "runs": found.runs,
                "kept_runs": found.kept,
                "bytes": found.size,
                "folders": [str(removal.path) for removal in found.removals],
                "refused": found.refused,
            }
        )
    else:
        _print_plan(found, yes)
        for uri in found.refused:
            echo(f"Not touched, since it is outside of the workspace: {uri}")


def _print_plan(found: Plan, is_done: bool) -> None:
    sizes: dict[str, list[int]] = defaultdict(list)
    for removal in found.removals:
        sizes[removal.what].append(removal.size)
    if not sizes:
        echo(f"Nothing to remove: {len(found.kept)} runs are kept.")
        return
    rows = [
        (what, str(len(of_kind)), _megabytes(sum(of_kind)))
        for what, of_kind in sorted(sizes.items(), key=lambda item: -sum(item[1]))
    ]
    print_table(("what", "folders>", "size>"), rows)
    verb = "Removed" if is_done else "Would remove"
    echo(
        f"\n{verb} {_megabytes(found.size)} of {len(found.runs)} runs; "
        f"{len(found.kept)} are kept."
    )
    if not is_done:
        echo("Add --yes to remove it.")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
