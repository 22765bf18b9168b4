"""What was read and how it was split, however the ratings were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.data_summary import DataSummary
from components.movielens_example_gen.inputs.editions import TIMESTAMP
from components.movielens_example_gen.inputs.spans import SpanFiles
from components.movielens_example_gen.readers import raw_data
from components.movielens_example_gen.readers.bad_rows import BadRows
from components.movielens_example_gen.rows.staging import Staged
from components.movielens_example_gen.timelines import FILTERS
from trainer.features import SPLITS


@dataclass(frozen=True)
class Outcome:
    """What became of the rows that were read.

    Attributes:
      rows: Rows of each split: see `trainer.features`.
      counts: Events and users by what became of them: see `timelines.build`.
      num_read: Rating rows read, bad rows included.
      num_quarantined: Rating rows that were refused and set aside.
      num_users: Users with ratings, before any filter.
      num_movies: Movies listed.
      num_rated_movies: Movies that somebody rated.
      times: First and last timestamp; None without rows.
      odd_rows: Movies and users that were kept with an oddity, by kind.
    """

    rows: Mapping[str, int]
    counts: Mapping[str, int]
    num_read: int
    num_quarantined: int
    num_users: int
    num_movies: int
    num_rated_movies: int
    times: tuple[int, int] | None
    odd_rows: dict[str, int]


def summarise(
    config: ExampleGenConfig,
    spans: tuple[SpanFiles, ...],
    outcome: Outcome,
    bad: BadRows,
) -> DataSummary:
    """Counts what became of the input: every row is accounted for."""
    counts = outcome.counts
    is_read = raw_data.csv_header(config)[TIMESTAMP] is not None
    first, last = outcome.times if is_read and outcome.times else (None, None)
    return {
        "spans": [span.span for span in spans if span.in_window],
        "older_spans": [
            span.span for span in spans if span.files.ratings and not span.in_window
        ],
        "missing_spans": [span.missing_before for span in spans if span.missing_before],
        "format": spans[-1].files.family.name,
        "rows": {split: outcome.rows.get(split, 0) for split in SPLITS},
        "ratings": {
            "read": outcome.num_read,
            "train": counts.get("train", 0),
            "eval": counts.get("eval", 0),
            "filtered": counts.get("filtered", 0),
            "duplicate": counts.get("duplicate", 0),
            "quarantined": outcome.num_quarantined,
        },
        "filtered": {why: counts.get(f"filtered_{why}", 0) for why in FILTERS},
        "users": outcome.num_users,
        "movies": outcome.num_movies,
        "unrated_movies": outcome.num_movies - outcome.num_rated_movies,
        "first_timestamp": first,
        "last_timestamp": last,
        "cold_users": counts.get("cold_users", 0),
        "cold_movie_holdouts": counts.get("cold_movie_holdouts", 0),
        "odd_rows": outcome.odd_rows,
        "bad_rows": bad.counts(),
    }


@dataclass(frozen=True)
class Ingested:
    """What Beam writes, and what is recorded of it.

    Attributes:
      config: The configuration.
      spans: The spans that were read, oldest first.
      outcome: What became of the rows.
      bad: The rows that were set aside.
      staged: The rows of each shard.
    """

    config: ExampleGenConfig
    spans: tuple[SpanFiles, ...]
    outcome: Outcome
    bad: BadRows
    staged: Staged

    def summary(self) -> DataSummary:
        """Counts what became of the input."""
        return summarise(self.config, self.spans, self.outcome, self.bad)
