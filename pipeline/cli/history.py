"""`two-tower history`."""

from __future__ import annotations

import datetime
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline.cli.options import json_option, workspace_option
from pipeline.cli.tables import (
    echo,
    make_console,
    number,
    print_json,
    print_table,
)
from trainer.errors import UserError

if TYPE_CHECKING:
    from pipeline.runs.history_entry import Entry
    from pipeline.runs.regressions import Regression

_COLUMNS: Final = (
    *("start (UTC)", "span", "outcome", "HR@10>", "live>", "NDCG@10>", "live>"),
    *("pop.>", "train s>", "wall s>", "version", "from", "worse"),
)
# What a terminal of 80 columns has space for; `--html` and a pipe have all.
_NARROW: Final = (0, 1, 2, 5, 6, 8, 10, 12)
_IN_TABLE: Final = 60
_FULL_WIDTH: Final = 130
_NOT_PUSHED: Final = ("failed", "refused", "not_blessed", "locked", "rollback")
_MAX_REASONS: Final = 10
_BARS: Final = "▁▂▃▄▅▆▇█"
_ASCII_BARS: Final = "_.-~=+*#"
_LABEL_WIDTH: Final = 12
_WIDEST: Final = 120  # values in a line of the chart


@click.command()
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    metavar="DATE",
    help="Show what started at that time (UTC) or later.",
)
@click.option(
    "--last",
    type=click.IntRange(min=1),
    metavar="N",
    help="Show the newest N; the table shows 60 unless --last or --since is given.",
)
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page with charts, which loads nothing from elsewhere.",
)
@json_option
@workspace_option
def history(
    since: datetime.datetime | None,
    last: int | None,
    page: Path | None,
    as_json: bool,
    workspace: Path,
) -> None:
    """Show quality and cost of all runs and retrainings over time.

    Metrics of the new model stand beside those of the model that was live, for the same
    users. What became worse beyond noise is marked, with the reason; what it is
    compared with may be older than what is shown.

    \b
    Examples:
      two-tower history --last 20
      two-tower history --since 2026-01-01 --html history.html
    """
    from pipeline.runs.history import read_history
    from pipeline.runs.regressions import find_regressions

    found = read_history(workspace)
    shown = _selected(found.entries, since, last)
    worse: dict[str, list[Regression]] = defaultdict(list)
    for regression in find_regressions(found.entries):
        worse[regression.entry].append(regression)
    for fault in found.faults:
        echo(f"Not read: {fault}", err=True)
    if page is not None:
        _write(page, shown, worse, found.faults)
    if as_json:
        entries = [_as_json(entry, worse[entry.name]) for entry in shown]
        print_json({"entries": entries, "faults": list(found.faults)})
    elif page is not None:
        echo(f"Page: {page}")
    elif shown:
        is_limited = last is None and since is None and len(shown) > _IN_TABLE
        _print(shown[-_IN_TABLE:] if is_limited else shown, worse)
        if is_limited:
            older = len(shown) - _IN_TABLE
            echo(f"\n{older} are older: --last {len(shown)} shows them, --html draws.")
    else:
        echo("No run was recorded yet." if not found.entries else "Nothing to show.")


def _selected(
    entries: Sequence[Entry], since: datetime.datetime | None, last: int | None
) -> Sequence[Entry]:
    if since is not None:
        start = since.replace(tzinfo=datetime.timezone.utc)
        entries = [entry for entry in entries if entry.started >= start]
    return entries[-last:] if last else entries


def _write(
    page: Path,
    shown: Sequence[Entry],
    worse: dict[str, list[Regression]],
    faults: Sequence[str],
) -> None:
    from pipeline.runs.history_page import render
    from trainer.atomic_files import write_text

    try:
        write_text(page, render(shown, worse, faults))
    except OSError as error:
        raise UserError(
            f"{page} cannot be written: {error.strerror}", "Name another file."
        ) from error


def _print(shown: Sequence[Entry], worse: dict[str, list[Regression]]) -> None:
    from pipeline.runs.regressions import RULES

    is_narrow = make_console().width < _FULL_WIDTH
    columns = _NARROW if is_narrow else range(len(_COLUMNS))
    rows = [_cells(entry, worse[entry.name], not is_narrow) for entry in shown]
    print_table(
        [_COLUMNS[column] for column in columns],
        [[row[column] for column in columns] for row in rows],
    )
    for line in _chart(shown):
        echo(line)
    _print_served(shown)
    unpushed = [e for e in shown if e.reasons and e.outcome in _NOT_PUSHED]
    if unpushed:
        echo("\nReasons, the newest last:")
        for entry in unpushed[-_MAX_REASONS:]:
            outcome = entry.outcome.replace("_", " ")
            echo(f"  {entry.label}: {outcome}: {entry.reasons[0]}")
    marked = [(entry, mark) for entry in shown for mark in worse[entry.name]]
    if marked:
        echo("\nWorse than before:")
        for entry, mark in marked:
            echo(f"  {entry.label}: {mark.reason}")
        echo(f"\n{RULES}", dim=True)


def _cells(entry: Entry, worse: Sequence[Regression], shows_minutes: bool) -> list[str]:
    return [
        f"{entry.started:%Y-%m-%d %H:%M}"
        if shows_minutes
        else f"{entry.started:%Y-%m-%d}",
        entry.span or "-",
        entry.outcome.replace("_", " "),
        number(entry.candidate.get("hit_rate@10")),
        number(entry.live.get("hit_rate@10")),
        number(entry.candidate.get("ndcg@10")),
        number(entry.live.get("ndcg@10")),
        number(entry.popularity.get("ndcg@10")),
        number(entry.train_seconds, 1),
        number(entry.wall_seconds, 1),
        entry.version or "-",
        entry.start or "-",
        ", ".join(mark.what for mark in worse),
    ]


def _print_served(shown: Sequence[Entry]) -> None:
    """Prints how served versions did, from the newest report that measured each."""
    newest: dict[tuple[str, str], tuple[Entry, Any]] = {}
    for entry in shown:
        for group in entry.served:
            newest[str(group["version"]), group["label"]] = (entry, group)
    if not newest:
        return
    echo("\nServed recommendations, by later ratings (95 % intervals):")
    for (version, label), (entry, group) in sorted(newest.items()):
        values = [
            "{} {value:.4f} ({low:.4f} to {high:.4f})".format(name, **metric)
            for name, metric in group["metrics"].items()
            if metric["value"] is not None
        ]
        found = ", ".join(values) or "no outcome yet"
        lists = f"{group['with_outcome']:,} lists with an outcome"
        named = f"version {version}{label and f' ({label})'}"
        echo(f"  {named}: {found}; {lists}, run of {entry.label}")


def _chart(shown: Sequence[Entry]) -> Iterable[str]:
    """Yields the lines of two small charts, oldest on the left."""
    evaluated = [entry for entry in shown if entry.candidate]
    trained = [entry for entry in shown if entry.train_seconds is not None]
    quality = {
        "new model": [entry.candidate.get("ndcg@10") for entry in evaluated],
        "live model": [entry.live.get("ndcg@10") for entry in evaluated],
        "popularity": [entry.popularity.get("ndcg@10") for entry in evaluated],
    }
    yield from _bars("NDCG@10", quality)
    yield from _bars("Training", {"s": [entry.train_seconds for entry in trained]})


def _bars(title: str, rows: dict[str, list[float | None]]) -> Iterable[str]:
    width = min(_WIDEST, make_console().width - _LABEL_WIDTH - 2)
    rows = {name: values[-width:] for name, values in rows.items()}
    known = [value for row in rows.values() for value in row if value is not None]
    if not known or max(map(len, rows.values())) == 1:
        return
    low, high = min(known), max(known)
    yield f"\n{title}, from {low:.4g} to {high:.4g}"
    marks = _BARS if _shows(_BARS) else _ASCII_BARS
    step = (high - low) / (len(marks) - 1) or 1.0
    for name, row in rows.items():
        line = "".join(
            " " if value is None else marks[round((value - low) / step)]
            for value in row
        )
        if line.strip():
            yield f"  {name:<{_LABEL_WIDTH}}{line}".rstrip()


def _shows(text: str) -> bool:
    """Whether standard output has these characters."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _as_json(entry: Entry, worse: Sequence[Regression]) -> dict[str, Any]:
    from pipeline.runs.regressions import METRICS

    groups = ("candidate", "live_gain")
    return {
        "name": entry.name,
        "started": entry.started.isoformat(timespec="seconds"),
        "is_retraining": entry.is_retraining,
        "span": entry.span,
        "outcome": entry.outcome,
        "metrics": {
            "candidate": dict(entry.candidate),
            "live": dict(entry.live),
            "popularity": dict(entry.popularity),
        },
        "intervals": {
            group: {metric: entry.interval(group, metric) for metric in METRICS}
            for group in groups
        },
        "train_seconds": entry.train_seconds,
        "wall_seconds": entry.wall_seconds,
        "steps": dict(entry.steps),
        "version": entry.version,
        "start": entry.start,
        "warm_start": entry.warm_start,
        "reasons": list(entry.reasons),
        "served": list(entry.served),
        "worse": [
            {"what": mark.what, "kind": mark.kind, "reason": mark.reason}
            for mark in worse
        ],
    }
