"""Reads a split of the ratings and writes its events by ranges of the users' hashes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.movielens_example_gen.inputs.editions import Family
from components.movielens_example_gen.inputs.spans import SpanFiles
from components.movielens_example_gen.out_of_core.facts import Facts
from components.movielens_example_gen.out_of_core.inputs import Inputs
from components.movielens_example_gen.readers import raw_data, text_files
from components.movielens_example_gen.readers.bad_rows import BadRows, BadRowsError
from components.movielens_example_gen.readers.rating_files import (
    RatingsBlock,
    read_ratings_file,
)
from components.movielens_example_gen.readers.rating_rows import RowRules
from components.movielens_example_gen.readers.text_files import Part
from components.movielens_example_gen.rows import chunks
from components.movielens_example_gen.tables import Ratings
from trainer.errors import UserError
from trainer.id_hashes import hash_ids
from trainer.movielens import RatingScale

# Large enough for fast columns, small enough for even work on several workers.
SPLIT_BYTES: Final = 32 << 20
# A file that cannot be cut is written in runs of about so many rows.
RUN_ROWS: Final = 2_000_000
_HASH_BITS: Final = 64


@dataclass(frozen=True)
class Split:
    """Whole lines of one file.

    Attributes:
      number: Its place in the order of files and lines.
      span: Index of the span that the file belongs to.
      path: The file.
      family: Its format.
      scale: Of its ratings.
      part: What is read of it.
    """

    number: int
    span: int
    path: Path
    family: Family
    scale: RatingScale
    part: Part


def plan(spans: tuple[SpanFiles, ...], inputs: Inputs) -> list[Split]:
    """Cuts all ratings files into splits, in the order of spans, names and lines."""
    splits: list[Split] = []
    for index, span in enumerate(spans):
        scale = raw_data.scale_of(span, inputs.config)
        for path in span.files.ratings:
            for part in text_files.cut(path, SPLIT_BYTES):
                family = span.files.family
                split = Split(len(splits), index, path, family, scale, part)
                splits.append(split)
    return splits


@dataclass
class Scatter:
    """The task of reading one split.

    What it finds: `num_read` rows and `num_lines`, the `bad` rows and those of
    `unlisted` movies with their line in the split, the first `error` of the file, times
    and number of the good rows; and for each of the `runs`, `[num_buckets + 1]`
    positions in the file and events before each bucket.
    """

    inputs: Inputs
    _rows: dict[bytes, int] = field(default_factory=dict)

    def load(self) -> None:
        """Reads what all splits need."""
        movie_ids = self.inputs.read_listed().movie_ids
        self._rows = {movie_id: row for row, movie_id in enumerate(movie_ids)}

    def __call__(self, split: Split) -> None:
        """Reads a split and writes its runs."""
        bad, unlisted = (BadRows("quarantine") for _ in range(2))
        found: dict[str, Any] = {"num_read": 0, "num_lines": 0, "num_good": 0}
        found.update(times=[], runs=[], error=None)
        arrays: dict[str, NDArray[np.int64]] = {}
        try:
            for blocks in self._batches(split, bad):
                found["num_lines"] = blocks[-1].next_line - 1
                found["num_read"] += sum(block.num_read for block in blocks)
                ratings = self._ratings(split, blocks, unlisted)
                if len(ratings):
                    number = len(found["runs"])
                    name = f"split-{split.number:05d}-run-{number:03d}"
                    found["runs"].append(name)
                    arrays[name] = self._write_run(ratings, self.inputs.path(name))
                    found["num_good"] += len(ratings)
                    times = ratings.timestamps
                    found["times"] += [int(times.min()), int(times.max())]
        except BadRowsError:
            pass  # More than all splits together may have: `totals` counts again.
        except UserError as error:
            found["error"] = [error.message, error.remedy]
        for name, rows in (("bad", bad.rows), ("unlisted", unlisted.rows)):
            found[name] = [
                [row.line, row.reason, row.detail, row.content] for row in rows
            ]
        Facts(found, arrays).write(self.inputs.facts("split", split.number))

    def _batches(self, split: Split, bad: BadRows) -> Iterator[list[RatingsBlock]]:
        """Yields blocks that are a run together."""
        rules = RowRules(split.scale, self.inputs.latest)
        header = raw_data.csv_header(self.inputs.config)
        batch: list[RatingsBlock] = []
        for block in read_ratings_file(
            split.path, split.family, rules, header, bad, part=split.part
        ):
            batch.append(block)
            if sum(b.table.num_rows for b in batch) >= RUN_ROWS:
                yield batch
                batch = []
        if batch:
            yield batch

    def _ratings(
        self, split: Split, blocks: list[RatingsBlock], unlisted: BadRows
    ) -> Ratings:
        """Returns the good rows with movies as rows of the corpus."""
        spans = [split.span] * len(blocks)
        ratings = raw_data.join_blocks(blocks, spans)
        ratings = raw_data.drop_unlisted(ratings, blocks, self._rows, unlisted)
        rows = np.array([self._rows[m] for m in ratings.movie_ids], np.int32)
        return dataclasses.replace(ratings, movies=rows[ratings.movies])

    def _write_run(self, ratings: Ratings, path: str) -> NDArray[np.int64]:
        """Writes the events of each bucket as a chunk; an empty one has none."""
        hashes = hash_ids(ratings.user_ids)
        order = np.argsort(hashes, kind="stable")
        rank = np.empty(len(order), np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        user_ranks = rank[ratings.users]
        lengths = np.bincount(user_ranks, minlength=len(order))
        starts = np.concatenate(([0], np.cumsum(lengths)))
        users = _user_batch(
            ratings.take(np.argsort(user_ranks, kind="stable")), order, starts
        )
        shift = np.uint64(_HASH_BITS - self.inputs.bucket_bits)
        buckets = (hashes[order] >> shift).astype(np.int64)
        bounds = np.searchsorted(buckets, np.arange(2**self.inputs.bucket_bits + 1))
        filled = np.flatnonzero(np.diff(bounds))
        pieces = chunks.write(
            path,
            (users.slice(bounds[b], bounds[b + 1] - bounds[b]) for b in filled),
        )
        sizes = np.zeros(len(bounds), np.int64)
        sizes[filled + 1] = [piece.end - piece.start for piece in pieces]
        return np.stack([np.cumsum(sizes), starts[bounds]])


def _user_batch(
    ratings: Ratings, order: NDArray[np.int64], starts: NDArray[np.int64]
) -> pa.RecordBatch:
    """Makes a row for each user, in the order of their hashes, from sorted events."""
    events = pa.StructArray.from_arrays(
        [
            pa.array(ratings.movies),
            pa.array(ratings.ratings),
            pa.array(ratings.timestamps),
            pa.array(ratings.spans),
        ],
        names=["movie", "rating", "timestamp", "span"],
    )
    return pa.record_batch(
        [
            pa.array(ratings.user_ids[order].tolist(), pa.binary()),
            pa.LargeListArray.from_arrays(pa.array(starts), events),
        ],
        names=["user_id", "events"],
    )
