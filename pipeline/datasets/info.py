"""Describes a data set: what it contains, and how a run would split it."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

from components.movielens_example_gen import ingest
from components.movielens_example_gen.data_summary import DataSummary
from pipeline.config import DataConfig
from pipeline.datasets import catalog

_SHOWN_BAD_ROWS = 5


class Description(DataSummary, total=False):
    """Description of a data set, as plain JSON.

    Attributes:
      folder: Folder with the files.
      dataset: Name of the edition; None for the user's own files.
      split: How events are held out.
      published: The counts that GroupLens publishes for the edition, if any.
      first_bad_rows: The first few bad rows, for people.
    """

    folder: str
    dataset: str | None
    split: str
    published: dict[str, int] | None
    first_bad_rows: list[str]


def describe(
    folder: Path, config: DataConfig, *, edition: str | None = None
) -> Description:
    """Reads a data set as a run would, but counts bad rows instead of failing.

    Args:
      folder: Folder with the files of an edition, or with spans.
      config: What a run would read and how it would split it.
      edition: Name of the edition, if the files are known to be one.

    Raises:
      UserError: The files are missing or cannot be read at all.
    """
    tolerant = dataclasses.replace(
        config, on_bad_row="quarantine", max_quarantined_fraction=1.0
    )
    prepared = ingest.prepare(folder, tolerant)
    entry = catalog.CATALOG.get(edition or "")
    published = None
    if entry is not None and entry.ratings:
        counts = (entry.ratings, entry.users, entry.movies)
        published = dict(zip(("ratings", "users", "movies"), counts, strict=True))
    return {
        "folder": str(folder),
        "dataset": edition,
        "split": config.split,
        **prepared.summary(),
        "published": published,
        "first_bad_rows": [str(row) for row in prepared.bad.rows[:_SHOWN_BAD_ROWS]],
    }


def facts(summary: Description) -> list[tuple[str, str]]:
    """Returns names and values of the summary for people."""
    ratings, rows = summary["ratings"], summary["rows"]
    published = summary["published"] or {}
    first, last = summary["first_timestamp"], summary["last_timestamp"]
    return [
        ("folder", summary["folder"]),
        ("format", summary["format"]),
        ("ratings", _compared(ratings["read"], published.get("ratings"))),
        ("users", _compared(summary["users"], published.get("users"))),
        ("movies", _compared(summary["movies"], published.get("movies"))),
        ("unrated", f"{summary['unrated_movies']:,} of the movies"),
        ("time", f"{_day(first)} to {_day(last)} (UTC)"),
        ("duplicates", f"{ratings['duplicate']:,} (the latest is kept)"),
        ("bad rows", _counts(summary["bad_rows"])),
        ("odd rows", _counts(summary["odd_rows"])),
        ("split", summary["split"]),
        ("  train", f"{rows['train']:,} windows of {ratings['train']:,} ratings"),
        ("  eval", f"{rows['eval']:,} queries for {ratings['eval']:,} ratings"),
        ("  corpus", f"{rows['corpus']:,} movies"),
        ("  filtered", _counts(summary["filtered"])),
        ("  cold users", f"{summary['cold_users']:,}"),
        ("  cold movies", f"{summary['cold_movie_holdouts']:,} held-out ratings"),
    ]


def _compared(found: int, published: int | None) -> str:
    if published is None:
        return f"{found:,}"
    if found == published:
        return f"{found:,} (as published)"
    return f"{found:,} (published: {published:,})"


def _counts(counts: dict[str, int]) -> str:
    some = [f"{name.replace('_', ' ')}: {n:,}" for name, n in counts.items() if n]
    return ", ".join(some) or "none"


def _day(timestamp: int | None) -> str:
    if timestamp is None:
        return "-"
    moment = datetime.datetime.fromtimestamp(timestamp, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%d")
