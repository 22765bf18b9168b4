"""`two-tower rehearse`."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import (
    ConfigOptions,
    data_dir_option,
    engine_config_options,
    json_option,
    workspace_option,
)
from pipeline.cli.tables import echo, make_console, number, print_json, print_table
from trainer.errors import UsageError

if TYPE_CHECKING:
    from pipeline.retraining.rehearsal.session import Split

_PERIODS = {"weekly": "week", "monthly": "month", "yearly": "year"}


@click.command()
@click.option(
    "--spans",
    metavar="SPLIT",
    help="weekly, monthly, yearly, or a number of spans with about equally many "
    "ratings.  [default: the spans that --data-dir has]",
)
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    help="All that is older than the span of this day becomes the first span.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 20),
    default=1,
    show_default=True,
    help="Trainings of each policy and span.",
)
@click.option("--name", help="Name of the rehearsal.  [default: of dataset and spans]")
@engine_config_options
@data_dir_option
@json_option
@workspace_option
def rehearse(
    *,
    spans: str | None,
    start: datetime.datetime | None,
    seeds: int,
    name: str | None,
    options: ConfigOptions,
    data_dir: Path | None,
    as_json: bool,
    workspace: Path,
) -> None:
    """Replay real ratings span by span, and compare ways of retraining.

    Each span is predicted before anything is trained on it, by four policies side by
    side: retrained warm (from the live model), retrained cold (from nothing), never
    retrained after the first span, and popularity. Training runs the pipeline's steps
    up to the Trainer; models become live whether or not they would be blessed.

    A rehearsal that was interrupted goes on where it was when the command is repeated.
    Table, charts and JSON are in rehearsals/NAME of the workspace.

    \b
    Examples:
      two-tower rehearse --dataset ml-100k --spans monthly
      two-tower rehearse --spans 8 --seeds 3
      two-tower rehearse --data-dir ~/ml-25m --spans yearly --start 2015-01-01
      two-tower rehearse --data-dir /data/ratings     the spans that are there
    """
    split = _split(spans, start)
    from pipeline.retraining.rehearsal.session import rehearse as replay

    console = make_console(stderr=True)
    record, folder = replay(
        options.load(data_dir),
        workspace,
        split,
        lambda line: console.print(line, soft_wrap=True, highlight=False),
        data_dir=data_dir,
        seeds=seeds,
        name=name,
    )
    if as_json:
        print_json({**dataclasses.asdict(record), "page": str(folder.page)})
        return
    _print_result(record.result)
    echo(f"\nPage  {folder.page}\nJSON  {folder.record_file}")


def _split(spans: str | None, start: datetime.datetime | None) -> Split:
    from pipeline.retraining.rehearsal.session import Split

    first_day = start.date() if start else None
    if spans is None:
        if first_day is not None:
            raise UsageError(
                "--start says how --spans are split", "Give --spans, such as monthly."
            )
        return Split()
    every: Any = _PERIODS.get(spans)
    if every is not None:
        return Split(every=every, start=first_day)
    if not spans.isdecimal() or int(spans) < 1:
        raise UsageError(
            f"--spans {spans!r} is neither a period nor a number",
            "Give weekly, monthly, yearly, or a number such as 8.",
        )
    return Split(num_spans=int(spans), start=first_day)


def _print_result(result: dict[str, Any]) -> None:
    """Prints spans, policies, differences and cost."""
    metric = result["metrics"][0]
    rankers = list(result["overall"])
    costs = list(result["cost"])
    columns = ["span", "ratings>", "users>", *(f"{ranker}>" for ranker in rankers)]
    columns += [f"{policy}, s>" for policy in costs]
    rows = [
        [
            *(span["name"], f"{span['ratings']:,}", f"{span['users']:,}"),
            *(number(span["quality"][ranker][metric][0]) for ranker in rankers),
            *(
                number(span["cost"].get(policy, {}).get("train_seconds"), 1)
                for policy in costs
            ),
        ]
        for span in result["spans"]
    ]
    echo(f"\n{metric} of each span before it was trained on\n")
    print_table(columns, rows)
    echo(f"\nAll spans, with {result['confidence']:.0%} intervals\n")
    names = [f"{name}>" for name in result["metrics"]]
    table = [
        [ranker, *(_estimate(result["overall"][ranker][m]) for m in result["metrics"])]
        for ranker in rankers
    ]
    table += [
        [
            f"{row['first']} - {row['second']}",
            *(_estimate(row[m]["value"], "+") for m in result["metrics"]),
        ]
        for row in result["differences"]
    ]
    print_table(["", *names], table)
    echo("\nTraining, all spans but the first\n")
    for policy, cost in result["cost"].items():
        echo(f"{policy}  {cost['train_seconds']:,.1f} s in {cost['trainings']}")


def _estimate(values: list[float | None], sign: str = "") -> str:
    value, low, high = ("-" if v is None else f"{v:{sign}.4f}" for v in values)
    return f"{value} ({low} to {high})"
