"""`two-tower feedback`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pipeline.cli.options import (
    ConfigOptions,
    config_options,
    data_dir_option,
    json_option,
    workspace_option,
)
from pipeline.cli.tables import echo, print_json, print_table
from trainer.errors import UsageError


@click.command()
@click.option(
    "--impressions",
    metavar="FOLDER",
    help="What a server has recommended, from `two-tower serve --log-impressions`.  "
    "[default: feedback.impressions of the configuration]",
)
@click.option(
    "--window-days",
    metavar="DAYS",
    help="A hit is rated within so many days.  [default: feedback.window_days, 7]",
)
@click.option(
    "-k",
    "k",
    metavar="K",
    help="Movies of a list to look at.  [default: feedback.k, 10]",
)
@click.option("--span", metavar="SPAN", help="The last span of ratings to read.")
@json_option
@config_options
@data_dir_option
@workspace_option
def feedback(
    *,
    impressions: str | None,
    window_days: str | None,
    k: str | None,
    span: str | None,
    as_json: bool,
    options: ConfigOptions,
    data_dir: Path | None,
    workspace: Path,
) -> None:
    """Show how served recommendations did, by the ratings that came after them.

    A movie that a user rates for the first time is credited to the last list that the
    user got before, and is a hit if that shows it. Lists with a rating to judge them by
    are the evidence; intervals (95 %) know that a user has several.

    \b
    Examples:
      two-tower feedback --impressions impressions --data-dir ratings
      two-tower feedback --impressions impressions -d ml-100k --window-days 1 --json
    """
    given = {
        "feedback.impressions": impressions,
        "feedback.window_days": window_days,
        "feedback.k": k,
        "data.last_span": span,
    }
    more = [f"{key}={value}" for key, value in given.items() if value is not None]
    config = options.load(data_dir, *more)
    folder = config.feedback.impressions
    if folder is None:
        raise UsageError(
            "no folder of impressions is given",
            "Give --impressions FOLDER, or set feedback.impressions.",
        )
    from components.feedback.impressions import find_files
    from components.feedback.measure import measure
    from components.feedback.outcomes import Outcomes
    from pipeline.datasets.source import existing_folder

    find_files(folder)  # before the ratings are read
    base = existing_folder(config.data, workspace, data_dir)
    result = measure(folder, Outcomes.read(base, config.data), config.feedback)
    if as_json:
        print_json({"impressions": folder, "ratings": str(base), **result})
    else:
        _print(result)


def _print(result: Mapping[str, Any]) -> None:
    names = [f"{name}@{result['k']}" for name in ("hit_rate", "ndcg")]
    change = {(d["version"], d["label"]): d["metrics"] for d in result["differences"]}
    shown = [
        (
            str(group["version"]),
            group["label"] or "-",
            f"{group['impressions']:,}",
            f"{group['users']:,}",
            f"{group['with_outcome']:,} ({group['share_with_outcome']:.1%})",
            f"{group['users_with_outcome']:,}",
            *(_estimate(group["metrics"][name]) for name in names),
            _estimate(
                change.get((group["version"], group["label"]), {}).get(names[0]), "+"
            ),
        )
        for group in result["groups"]
    ]
    if shown:
        columns = (
            "version",
            "label",
            "impressions>",
            "users>",
            "with outcome>",
            "users>",
        )
        print_table((*columns, *names, f"{names[0]}, change"), shown)
        _print_positions(result["groups"])
        echo("")
    for note in result["notes"]:
        echo(note)


def _print_positions(groups: list[dict[str, Any]]) -> None:
    """Prints a row for each group with the hit rate at each position."""
    judged = [group for group in groups if group["by_position"]]
    if not judged:
        return
    width = max(len(group["by_position"]) for group in judged)
    echo("\nHits by position, in percent of the lists that show so many movies:")
    rows = []
    for group in judged:
        rates = [f"{100 * p['hits'] / p['shown']:.2f}" for p in group["by_position"]]
        rates += ["-"] * (width - len(rates))
        rows.append((str(group["version"]), group["label"] or "-", *rates))
    print_table(("version", "label", *(f"{n + 1}>" for n in range(width))), rows)


def _estimate(metric: Mapping[str, float | None] | None, sign: str = "") -> str:
    """Shows a value with its interval."""
    if not metric or metric["value"] is None:
        return "-"
    value, low, high = (f"{metric[key]:{sign}.4f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
