"""`two-tower compare`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from pipeline.cli.options import json_option, workspace_option
from pipeline.cli.tables import echo, number, print_json, print_table
from pipeline.runs import comparison
from pipeline.runs.metadata_store import MetadataStoreReader
from trainer.errors import UserError


@click.command()
@click.argument("first")
@click.argument("second", default="latest")
@click.option(
    "--all", "shows_all", is_flag=True, help="Show every metric, not only those at 10."
)
@json_option
@workspace_option
def compare(
    first: str, second: str, shows_all: bool, as_json: bool, workspace: Path
) -> None:
    """Compare configuration, data and metrics of two runs.

    FIRST and SECOND are ids of runs or beginnings of ids; SECOND is the latest run if
    it is not given. Metrics are compared user by user, over the users of both runs. The
    second run is called better or worse only if the difference exceeds the noise.

    \b
    Examples:
      two-tower compare 20260301T0300 20260308T0300
      two-tower compare 20260301T0300 --json | jq '.config'
    """
    reader = MetadataStoreReader.open(workspace)
    runs = reader.run(first), reader.run(second)
    for run in runs:
        if run.is_running:
            raise UserError(
                f"The run {run.run_id} cannot be compared: {run.progress}",
                "Ask again when it has ended.",
            )
    found = comparison.compare(*runs)
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    echo(f"first   {found.runs[0]}\nsecond  {found.runs[1]}\n")
    changes = [*found.config, *found.data]
    if changes:
        shown = [(c.key, c.first, c.second) for c in changes]
        rows = [
            ["-" if value is None else str(value) for value in row] for row in shown
        ]
        print_table(("what differs", "first", "second"), rows)
    else:
        echo("Neither configuration nor data differ.")
    echo(f"\n{_pairing(found.common)}\n")
    print_table(
        ("metric", "first>", "second>", "difference>", "noise>", "paired", "second is"),
        [
            _cells(change)
            for change in found.metrics
            if shows_all or change.metric.endswith(("mrr", "@10"))
        ],
    )


def _pairing(common: comparison.CommonUsers | None) -> str:
    """Which users the differences are computed over."""
    if common is None:
        return (
            "Not compared user by user: one of the runs has no ranks of each user, "
            "since it was not evaluated or was made by an older version. The noise is "
            "overstated where the users are the same."
        )
    text = (
        f"Compared user by user: {common.users:,} users are in both runs (of "
        f"{common.of_first:,} and {common.of_second:,})"
    )
    others = common.users - common.same_rows
    if not others:
        return f"{text}, all with the same history and held-out movies."
    return (
        f"{text}, {others:,} of them with another history or other held-out movies, "
        "which also changes their metrics."
    )


def _cells(change: comparison.MetricChange) -> tuple[str, ...]:
    values = (change.metric, number(change.first), number(change.second))
    if change.difference is None:
        return (*values, "-", number(change.noise), "-", "-")
    return (
        *values,
        f"{change.difference:+.4f}",
        number(change.noise),
        "yes" if change.is_paired else "no",
        change.verdict or "no different",
    )
