"""The steps in their order: see the package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.inputs import spans
from components.movielens_example_gen.inputs.spans import SpanFiles
from components.movielens_example_gen.out_of_core import (
    gather,
    quantile,
    scatter,
    splits_read,
    totals,
)
from components.movielens_example_gen.out_of_core.inputs import Inputs
from components.movielens_example_gen.out_of_core.progress import watched
from components.movielens_example_gen.out_of_core.splits_read import SplitsRead
from components.movielens_example_gen.out_of_core.totals import Totals
from components.movielens_example_gen.readers import raw_data
from components.movielens_example_gen.readers.bad_rows import BadRows
from components.movielens_example_gen.rows import chunks, staging
from components.movielens_example_gen.rows.staging import Staged
from components.movielens_example_gen.summary import Ingested, Outcome
from components.movielens_example_gen.tables import Movie, User, as_ids
from components.movielens_example_gen.timelines import Events, Timelines
from trainer.features import CORPUS_SPLIT

# Bytes of ratings files for each bucket, of which partitions are made.
BUCKET_BYTES: Final = 2 << 20
_MAX_BUCKET_BITS: Final = 12


class Task(Protocol):
    """What a worker does with each element."""

    def load(self) -> None:
        """Reads what all elements need, once."""

    def __call__(self, element: Any, /) -> None:
        """Does it; done again, it writes the same files again."""


Distribute = Callable[[str, Task, Sequence[Any]], None]


def ingest(
    base: Path | str, config: ExampleGenConfig, folder: str, distribute: Distribute
) -> Ingested:
    """Does what `ingest.prepare` and `ingest.stage` do, with bounded memory.

    Args:
      base: The input folder, which all workers see.
      config: The configuration.
      folder: For temporary files, which all workers see.
      distribute: Does a task, which it gets with a name, for each element.

    Raises:
      UserError: A file is missing, or more rows are bad than the policy accepts.
    """
    found = spans.resolve(Path(base), config)
    bad = BadRows(config.on_bad_row, config.max_quarantined_fraction)
    movies, users = raw_data.read_movies_and_users(found, config, bad)
    spans.warn_of_missing(found)
    inputs = Inputs(
        config,
        [span.in_window for span in found].index(True),
        raw_data.latest_timestamp(),
        _bucket_bits(found),
        folder,
    )
    inputs.write_listed(movies, users)
    splits = scatter.plan(found, inputs)
    with watched(inputs, "split", len(splits), (0.0, 0.5)):
        distribute("ReadSplits", scatter.Scatter(inputs), splits)
    read = splits_read.combine(inputs, splits, found, movies, bad)
    parts = read.partitions
    if config.split == "temporal_global" and config.eval_start is None:
        distribute("CountTimes", quantile.CountTimes(inputs), parts)
        inputs = gather.with_cut(inputs, quantile.cut(inputs, len(parts)))
    with watched(inputs, "partition", len(parts), (0.5, 1.0)):
        distribute("MakeTimelines", gather.Gather(inputs), parts)
    total = totals.combine(inputs, len(parts), len(movies))
    staged = Staged(
        total.shards if parts else _no_timelines(inputs),
        staging.stage_corpus(movies, total.trained, folder),
    )
    outcome = _outcome(read, total, movies, users)
    return Ingested(config, found, outcome, bad, staged)


def _bucket_bits(found: Sequence[SpanFiles]) -> int:
    size = sum(path.stat().st_size for span in found for path in span.files.ratings)
    return min(max((size // BUCKET_BYTES).bit_length(), 1), _MAX_BUCKET_BITS)


def _no_timelines(inputs: Inputs) -> tuple[tuple[chunks.Piece, ...], ...]:
    """Writes a shard without users: all rows were refused."""
    empty = Timelines(
        as_ids([]),
        as_ids([]),
        Events(
            np.zeros(1, np.int64),
            np.zeros(0, np.int32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            np.zeros(0, np.int8),
        ),
        {},
    )
    batch = staging.timeline_batch(empty, {}, np.zeros(0, np.int32))
    return (tuple(chunks.write(inputs.path("no-timelines"), [batch])),)


def _outcome(
    read: SplitsRead,
    total: Totals,
    movies: dict[bytes, Movie],
    users: dict[bytes, User],
) -> Outcome:
    return Outcome(
        rows={**total.rows, CORPUS_SPLIT: len(movies)},
        counts=total.counts,
        num_read=read.num_read,
        num_quarantined=read.num_read - read.num_good,
        num_users=total.num_users,
        num_movies=len(movies),
        num_rated_movies=total.num_rated,
        times=read.times,
        odd_rows=raw_data.odd_rows(movies, users),
    )
