"""`two-tower compare`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.cli.options import workspace_option
from pipeline.cli.tables import number, print_table


@click.command()
@click.argument("first")
@click.argument("second", default="latest")
@click.option("--all", "shows_all", is_flag=True, help="Every metric, not only @10.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@workspace_option
def compare(
    first: str, second: str, shows_all: bool, as_json: bool, workspace: Path
) -> None:
    """Show what differs between two runs, and what came of it.

    FIRST and SECOND are ids of runs or how they begin; SECOND may be left out for the
    latest. A difference counts where it is larger than noise explains.

    \b
    Examples:
      two-tower compare 20260301T0300 20260308T0300
      two-tower compare 20260301T0300 --json | jq '.config'
    """
    from pipeline.comparison import compare as compare_runs
    from pipeline.history import History
    from pipeline.workspace import Workspace

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
    click.echo()
    print_table(
        ("metric", "first>", "second>", "difference>", "noise>", "second is"),
        [
            (
                m.metric,
                number(m.first),
                number(m.second),
                "-" if m.difference is None else f"{m.difference:+.4f}",
                number(m.noise),
                m.verdict or ("-" if m.difference is None else "no different"),
            )
            for m in found.metrics
            if shows_all or m.metric.endswith(("mrr", "@10"))
        ],
    )


def _text(value: object) -> str:
    return "-" if value is None else str(value)
