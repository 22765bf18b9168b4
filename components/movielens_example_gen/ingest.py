"""From the input folder to staged tables and a summary: all that precedes Beam."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.movielens_example_gen import reader, spans, staging, timelines
from components.movielens_example_gen import row_windows as windows
from components.movielens_example_gen.bad_rows import BadRows
from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.reader import SpanFiles
from components.movielens_example_gen.tables import RawData
from components.movielens_example_gen.timelines import Timelines
from trainer.features import CORPUS_SPLIT, EVAL_SPLIT, TRAIN_SPLIT


@dataclass(frozen=True)
class Prepared:
    """What was read and how it was split.

    Attributes:
      config: What was asked for.
      spans: The spans that were read, oldest first.
      data: The rows as read.
      timelines: What reaches train and eval.
      bad: The rows that were set aside.
    """

    config: ExampleGenConfig
    spans: tuple[SpanFiles, ...]
    data: RawData
    timelines: Timelines
    bad: BadRows

    def num_rows(self) -> dict[str, int]:
        """Rows of each split: windows, queries and movies."""
        windowing = self.config.window_length, self.config.window_stride
        lengths = np.diff(self.timelines.train.starts)
        return {
            TRAIN_SPLIT: windows.count(lengths, *windowing),
            EVAL_SPLIT: int((np.diff(self.timelines.held_out.starts) > 0).sum()),
            CORPUS_SPLIT: len(self.data.movies),
        }

    def summary(self) -> dict[str, Any]:
        """Counts for people and for later steps, all of them plain JSON.

        `ratings.read` is the sum of `train`, `eval`, `filtered`, `duplicate` and
        `quarantined`: no input row is lost unseen.
        """
        counts = self.timelines.counts
        told = ("train", "eval", "filtered", "duplicate")
        timestamps = self.data.ratings.timestamps
        rated = np.unique(self.data.ratings.movies)
        return {
            "spans": [span.span for span in self.spans if span.files.ratings],
            "format": self.spans[-1].files.family.name,
            "rows": self.num_rows(),
            "ratings": {
                "read": self.data.num_read,
                **{name: counts[name] for name in told},
                "quarantined": self.data.num_quarantined,
            },
            "filtered": {
                name.removeprefix("filtered_"): number
                for name, number in counts.items()
                if name.startswith("filtered_")
            },
            "users": len(self.data.ratings.user_ids),
            "movies": len(self.data.movies),
            "unrated_movies": len(self.data.movies) - len(rated),
            "first_timestamp": int(timestamps.min()) if len(timestamps) else None,
            "last_timestamp": int(timestamps.max()) if len(timestamps) else None,
            "cold_users": counts["cold_users"],
            "cold_movie_holdouts": counts["cold_movie_holdouts"],
            "odd_rows": self.data.odd_rows,
            "bad_rows": self.bad.counts(),
        }


def prepare(base: Path | str, config: ExampleGenConfig) -> Prepared:
    """Reads and splits the input.

    Raises:
      UserError: Something is missing, or more rows are bad than the policy accepts.
    """
    found = spans.resolve(Path(base), config)
    bad = BadRows(config.on_bad_row, config.max_quarantined_fraction)
    data = reader.read(found, config, bad)
    return Prepared(config, found, data, timelines.build(data.ratings, config), bad)


def stage(prepared: Prepared, folder: str) -> staging.Staged:
    """Writes the tables that Beam distributes into `folder`."""
    os.makedirs(folder, exist_ok=True)
    data = prepared.data
    return staging.stage(prepared.timelines, data.movies, data.users, folder)
