"""`two-tower compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import json_option, workspace_option
from pipeline.cli.tables import number, print_table

if TYPE_CHECKING:
    from pipeline.runs.comparison import CommonUsers, MetricChange


@click.command()
@click.argument("first")
@click.argument("second", default="latest")
@click.option("--all", "shows_all", is_flag=True, help="Every metric, not only @10.")
@json_option
@workspace_option
def compare(
    first: str, second: str, shows_all: bool, as_json: bool, workspace: Path
) -> None:
    """Show what differs between two runs, and what came of it.

    FIRST and SECOND are ids of runs or how they begin; SECOND may be left out for the
    latest. Differences are taken user by user, over the users of both runs, and count
    where they are larger than noise explains.

    \b
    Examples:
      two-tower compare 20260301T0300 20260308T0300
      two-tower compare 20260301T0300 --json | jq '.config'
    """
    from pipeline.runs.comparison import compare as compare_runs
    from pipeline.runs.metadata_store import History
    from pipeline.runs.workspace import Workspace

    history = History(Workspace.open(workspace))
    found = compare_runs(history.run(first), history.run(second))
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    click.echo(f"first   {found.runs[0]}\nsecond  {found.runs[1]}\n")
    changes = [*found.config, *found.data]
    if changes:
        rows = [(c.key, _text(c.first), _text(c.second)) for c in changes]
        print_table(("what differs", "first", "second"), rows)
    else:
        click.echo("Neither configuration nor data differ.")
    click.echo(f"\n{_pairing(found.common)}\n")
    print_table(
        ("metric", "first>", "second>", "difference>", "noise>", "paired", "second is"),
        [
            _cells(change)
            for change in found.metrics
            if shows_all or change.metric.endswith(("mrr", "@10"))
        ],
    )


def _pairing(common: CommonUsers | None) -> str:
    """What the differences are taken over."""
    if common is None:
        return (
            "Not compared user by user: a run without an evaluation, or of an older "
            "version, kept no ranks. Noise is overstated where the users are the same."
        )
    text = (
        f"Compared user by user: {common.users:,} users are in both runs (of "
        f"{common.of_first:,} and {common.of_second:,})"
    )
    others = common.users - common.same_rows
    if not others:
        return f"{text}, all with the same history and held-out movies."
    return (
        f"{text}, {others:,} of them with another history or other held-out movies, so "
        "that differences are also those of what was asked."
    )


def _cells(change: MetricChange) -> tuple[str, ...]:
    difference = change.difference
    is_known = difference is not None
    return (
        change.metric,
        number(change.first),
        number(change.second),
        f"{difference:+.4f}" if difference is not None else "-",
        number(change.noise),
        ("yes" if change.is_paired else "no") if is_known else "-",
        change.verdict or ("no different" if is_known else "-"),
    )


def _text(value: object) -> str:
    return "-" if value is None else str(value)
