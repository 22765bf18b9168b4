"""The steps before Beam in their order: from the input folder to staged tables."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from components.movielens_example_gen import timelines
from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.data_summary import DataSummary
from components.movielens_example_gen.inputs import spans
from components.movielens_example_gen.inputs.editions import TIMESTAMP
from components.movielens_example_gen.inputs.spans import SpanFiles
from components.movielens_example_gen.readers import raw_data
from components.movielens_example_gen.readers.bad_rows import BadRows
from components.movielens_example_gen.readers.raw_data import RawData
from components.movielens_example_gen.rows import staging
from components.movielens_example_gen.rows.examples import count_windows
from components.movielens_example_gen.timelines import Timelines
from trainer.features import CORPUS_SPLIT, EVAL_SPLIT, KNOWN_SPLIT, TRAIN_SPLIT

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """What was read and how it was split.

    Attributes:
      config: The configuration.
      spans: The spans that were read, oldest first.
      data: The rows as read.
      timelines: The events of all users, and what becomes of them.
      bad: The rows that were set aside.
    """

    config: ExampleGenConfig
    spans: tuple[SpanFiles, ...]
    data: RawData
    timelines: Timelines
    bad: BadRows

    def num_rows(self) -> dict[str, int]:
        """Returns the number of rows of each split: see `trainer.features`."""
        events = self.timelines.events
        return {
            TRAIN_SPLIT: count_windows(
                events.lengths(timelines.TRAIN),
                self.config.window_length,
                self.config.window_stride,
            ),
            EVAL_SPLIT: int((events.lengths(timelines.HELD_OUT) > 0).sum()),
            CORPUS_SPLIT: len(self.data.movies),
            KNOWN_SPLIT: int(
                (events.lengths(timelines.KNOWN, timelines.SEEN) > 0).sum()
            ),
        }

    def summary(self) -> DataSummary:
        """Counts what became of the input: every row is accounted for."""
        counts = self.timelines.counts
        timestamps = self.data.ratings.timestamps
        is_read = raw_data.csv_header(self.config)[TIMESTAMP] is not None
        has_times = is_read and len(timestamps) > 0
        num_rated = len(np.unique(self.data.ratings.movies))
        return {
            "spans": [span.span for span in self.spans if span.in_window],
            "older_spans": [
                span.span
                for span in self.spans
                if span.files.ratings and not span.in_window
            ],
            "missing_spans": [
                span.missing_before for span in self.spans if span.missing_before
            ],
            "format": self.spans[-1].files.family.name,
            "rows": self.num_rows(),
            "ratings": {
                "read": self.data.num_read,
                "train": counts["train"],
                "eval": counts["eval"],
                "filtered": counts["filtered"],
                "duplicate": counts["duplicate"],
                "quarantined": self.data.num_quarantined,
            },
            "filtered": {
                name.removeprefix("filtered_"): number
                for name, number in counts.items()
                if name.startswith("filtered_")
            },
            "users": len(self.data.ratings.user_ids),
            "movies": len(self.data.movies),
            "unrated_movies": len(self.data.movies) - num_rated,
            "first_timestamp": int(timestamps.min()) if has_times else None,
            "last_timestamp": int(timestamps.max()) if has_times else None,
            "cold_users": counts["cold_users"],
            "cold_movie_holdouts": counts["cold_movie_holdouts"],
            "odd_rows": self.data.odd_rows,
            "bad_rows": self.bad.counts(),
        }


def prepare(base: Path | str, config: ExampleGenConfig) -> Prepared:
    """Finds the files, reads them and builds the timelines (steps 1 to 3).

    Raises:
      UserError: A file is missing, or more rows are bad than the policy accepts.
    """
    found = spans.resolve(Path(base), config)
    bad = BadRows(config.on_bad_row, config.max_quarantined_fraction)
    data = raw_data.read(found, config, bad)
    for span in found:
        if span.missing_before:
            _LOG.warning("Missing, skipped as configured: %s", span.missing_before)
    first_span = [span.in_window for span in found].index(True)
    lines = timelines.build(data.ratings, config, first_span)
    return Prepared(config, found, data, lines, bad)


def stage(prepared: Prepared, folder: str) -> staging.Staged:
    """Writes the tables that Beam distributes into `folder`."""
    data = prepared.data
    return staging.stage(prepared.timelines, data.movies, data.users, folder)
