"""What all splits found: bad rows with their lines, and the partitions to make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import numpy as np

from components.movielens_example_gen.inputs.spans import SpanFiles
from components.movielens_example_gen.out_of_core import facts
from components.movielens_example_gen.out_of_core.facts import Facts
from components.movielens_example_gen.out_of_core.gather import Partition
from components.movielens_example_gen.out_of_core.inputs import Inputs
from components.movielens_example_gen.out_of_core.scatter import Split
from components.movielens_example_gen.readers import raw_data
from components.movielens_example_gen.readers.bad_rows import BadRows
from components.movielens_example_gen.readers.rating_files import read_ratings_file
from components.movielens_example_gen.readers.rating_rows import RowRules
from components.movielens_example_gen.tables import Movie
from trainer.errors import UserError

# Sorting takes about 150 bytes for each.
EVENTS_PER_PARTITION: Final = 2_000_000


@dataclass(frozen=True)
class SplitsRead:
    """What all splits found.

    Attributes:
      num_read: Rows read, bad ones included.
      num_good: Rows that were kept, duplicates included.
      times: First and last timestamp of those; None if there are none.
      partitions: All users, in the order of their hashes.
    """

    num_read: int
    num_good: int
    times: tuple[int, int] | None
    partitions: list[Partition]


def combine(
    inputs: Inputs,
    splits: Sequence[Split],
    spans: tuple[SpanFiles, ...],
    movies: dict[bytes, Movie],
    bad: BadRows,
) -> SplitsRead:
    """Reads what the splits found, and applies the policy to bad rows.

    Args:
      inputs: Those of the tasks.
      splits: All splits, in order.
      spans: The spans.
      movies: The movies that the files list.
      bad: Collects the rows that were refused, with their lines in the files.

    Raises:
      UserError: What `raw_data.read` raises.
    """
    num_read = num_good = 0
    times: list[int] = []
    unlisted: list[tuple[Path, int, str, str, str]] = []
    counts: list[Facts] = []
    before = 0  # lines of the file before the split
    for split in splits:
        found = facts.read(inputs.facts("split", split.number))
        values = found.values
        if not split.part.start:
            before = 0
        for line, reason, detail, content in values["bad"]:
            bad.add(split.path, before + line, reason, detail, content.encode())
        if values["error"]:
            _fail(split, inputs, UserError(*values["error"]))
        unlisted += [
            (split.path, before + line, *rest) for line, *rest in values["unlisted"]
        ]
        before += values["num_lines"]
        num_read += values["num_read"]
        num_good += values["num_good"]
        times += values["times"]
        counts.append(found)
    raw_data.check_found(spans, movies, num_read, bad)
    for path, line, reason, detail, content in unlisted:
        bad.add(path, line, reason, detail, content.encode())
    bad.apply(num_read)
    span = (min(times), max(times)) if times else None
    return SplitsRead(num_read, num_good, span, _partitions(inputs, counts))


def _fail(split: Split, inputs: Inputs, error: UserError) -> NoReturn:
    """Raises the error of a split; read from its start, a file names its lines."""
    header = raw_data.csv_header(inputs.config)
    rules = RowRules(split.scale, inputs.latest)
    ignored = BadRows("quarantine")
    for _ in read_ratings_file(split.path, split.family, rules, header, ignored):
        ignored.rows.clear()
    raise error


def _partitions(inputs: Inputs, splits: Sequence[Facts]) -> list[Partition]:
    """Groups buckets to partitions of about equally many events."""
    runs = [
        (inputs.path(name), *found.arrays[name])
        for found in splits
        for name in found.values["runs"]
    ]
    num_events = np.zeros(2**inputs.bucket_bits + 1, np.int64)
    for _, _, events in runs:
        num_events += events
    cuts = np.arange(0, num_events[-1], EVENTS_PER_PARTITION)
    firsts = np.unique(np.searchsorted(num_events, cuts, side="right") - 1)
    bounds = [*firsts.tolist(), len(num_events) - 1]
    partitions: list[Partition] = []
    for number in range(len(firsts)):
        first, end = bounds[number], bounds[number + 1]
        ranges = (
            (path, int(positions[first]), int(positions[end]))
            for path, positions, _ in runs
        )
        filled = tuple(r for r in ranges if r[1] < r[2])
        if filled:
            partitions.append(Partition(len(partitions), filled))
    return partitions
