"""What `MovieLensExampleGen` records on its artifact: names and typed contents."""

from __future__ import annotations

import json
from typing import Final, TypedDict

# Custom property with the JSON of a `DataSummary`.
SUMMARY_PROPERTY: Final = "summary"
# Custom property with the digest of the input, under the name that TFX gives it.
FINGERPRINT_PROPERTY: Final = "input_fingerprint"
# File in the artifact with the bad rows, if any were set aside: JSON lines.
QUARANTINE_FILE: Final = "quarantine.jsonl"


class RatingCounts(TypedDict):
    """What became of the rating rows: `read` is the sum of all others."""

    read: int
    train: int
    eval: int
    filtered: int
    duplicate: int
    quarantined: int


class DataSummary(TypedDict, total=False):
    """Counts of what was read and how it was split, as plain JSON.

    Attributes:
      spans: Numbers of the spans of the window, oldest first; [0] without spans.
      older_spans: Numbers of the spans before it, whose ratings count as seen.
      missing_spans: Names of the spans that are missing in the window, if
        `missing_spans` allows that.
      format: Name of the file format.
      rows: Rows of each split: windows, queries, movies, and users with known events.
      ratings: What became of the rating rows.
      filtered: Rating rows that each filter keeps out of train and eval.
      users: Users with ratings, before any filter.
      movies: Movies listed.
      unrated_movies: Movies listed that nobody rated.
      first_timestamp, last_timestamp: Seconds since the epoch, UTC; None without rows.
      cold_users: Users without an event in training.
      cold_movie_holdouts: Held-out events of movies without an event in training.
      odd_rows: Movies and users kept with an oddity, by kind.
      bad_rows: Rows refused, by reason.
      quarantine_file: Path of the file with the bad rows, if any were set aside.
    """

    spans: list[int]
    older_spans: list[int]
    missing_spans: list[str]
    format: str
    rows: dict[str, int]
    ratings: RatingCounts
    filtered: dict[str, int]
    users: int
    movies: int
    unrated_movies: int
    first_timestamp: int | None
    last_timestamp: int | None
    cold_users: int
    cold_movie_holdouts: int
    odd_rows: dict[str, int]
    bad_rows: dict[str, int]
    quarantine_file: str


def parse_summary(text: str | None) -> DataSummary:
    """Reads the value of `SUMMARY_PROPERTY`; an unset or empty one has no entries."""
    summary: DataSummary = json.loads(text or "{}")
    return summary
