"""The steps before Beam in their order: from the input folder to staged tables."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from components.movielens_example_gen import timelines
from components.movielens_example_gen.config import ExampleGenConfig, IngestMode
from components.movielens_example_gen.data_summary import DataSummary
from components.movielens_example_gen.inputs import spans
from components.movielens_example_gen.inputs.spans import SpanFiles
from components.movielens_example_gen.out_of_core import run
from components.movielens_example_gen.out_of_core.run import Distribute
from components.movielens_example_gen.readers import raw_data
from components.movielens_example_gen.readers.bad_rows import BadRows
from components.movielens_example_gen.readers.raw_data import RawData
from components.movielens_example_gen.readers.text_files import expanded_bytes
from components.movielens_example_gen.rows import staging
from components.movielens_example_gen.rows.examples import count_windows
from components.movielens_example_gen.summary import Ingested, Outcome, summarise
from components.movielens_example_gen.timelines import Timelines
from trainer.features import CORPUS_SPLIT, EVAL_SPLIT, KNOWN_SPLIT, TRAIN_SPLIT

_LOG: Final = logging.getLogger(__name__)
# Of `ingest: auto`: about ten million ratings. Sorting them in parts takes as long, but
# that is for an engine or for memory; few ratings need no more jobs of Beam.
MAX_BYTES_IN_MEMORY: Final = 256 << 20


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

    def outcome(self) -> Outcome:
        """Counts what became of the rows."""
        ratings = self.data.ratings
        times = ratings.timestamps
        return Outcome(
            rows=self.num_rows(),
            counts=self.timelines.counts,
            num_read=self.data.num_read,
            num_quarantined=self.data.num_quarantined,
            # Of some users all rows were refused.
            num_users=len(np.unique(ratings.users)),
            num_movies=len(self.data.movies),
            num_rated_movies=len(np.unique(ratings.movies)),
            times=(int(times.min()), int(times.max())) if len(times) else None,
            odd_rows=self.data.odd_rows,
        )

    def summary(self) -> DataSummary:
        """Counts what became of the input: every row is accounted for."""
        return summarise(self.config, self.spans, self.outcome(), self.bad)


def prepare(base: Path | str, config: ExampleGenConfig) -> Prepared:
    """Finds the files, reads them and builds the timelines (steps 1 to 3).

    Raises:
      UserError: A file is missing, or more rows are bad than the policy accepts.
    """
    found = spans.resolve(Path(base), config)
    bad = BadRows(config.on_bad_row, config.max_quarantined_fraction)
    data = raw_data.read(found, config, bad)
    spans.warn_of_missing(found)
    first_span = [span.in_window for span in found].index(True)
    lines = timelines.build(data.ratings, config, first_span)
    return Prepared(config, found, data, lines, bad)


def stage(prepared: Prepared, folder: str) -> staging.Staged:
    """Writes the tables that Beam distributes into `folder`."""
    data = prepared.data
    return staging.stage(prepared.timelines, data.movies, data.users, folder)


def ingest(
    base: Path | str,
    config: ExampleGenConfig,
    folder: str,
    mode: IngestMode,
    distribute: Distribute,
) -> Ingested:
    """Reads, sorts and splits the ratings, in memory or out of core.

    Args:
      base: The input folder.
      config: The configuration.
      folder: For temporary files, which all workers see.
      mode: Where ratings are sorted; the result is the same.
      distribute: Does a task of `out_of_core` on workers.

    Raises:
      UserError: A file is missing, or more rows are bad than the policy accepts.
    """
    if is_out_of_core(base, config, mode):
        return run.ingest(base, config, folder, distribute)
    prepared = prepare(base, config)
    staged = stage(prepared, folder)
    return Ingested(config, prepared.spans, prepared.outcome(), prepared.bad, staged)


def is_out_of_core(
    base: Path | str, config: ExampleGenConfig, mode: IngestMode
) -> bool:
    """Returns whether ratings are sorted by Beam; `auto` goes by the files' bytes."""
    if mode != "auto":
        return mode == "beam"
    files = [p for s in spans.resolve(Path(base), config) for p in s.files.ratings]
    size = sum(expanded_bytes(path) for path in files)
    if size > MAX_BYTES_IN_MEMORY:
        _LOG.info("Ratings have about %d MiB: Beam sorts them", size >> 20)
    return size > MAX_BYTES_IN_MEMORY
