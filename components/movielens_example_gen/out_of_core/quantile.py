"""The first second of the eval period, exactly, over the events of all partitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from components import storage
from components.movielens_example_gen import timelines
from components.movielens_example_gen.out_of_core import facts, gather
from components.movielens_example_gen.out_of_core.facts import Facts
from components.movielens_example_gen.out_of_core.gather import Partition
from components.movielens_example_gen.out_of_core.inputs import Inputs
from components.movielens_example_gen.tables import Ids

# Seconds are counted in periods of 18 hours: there are few, and few seconds in one.
_PERIOD_BITS: Final = 16
_ROW_BYTES: Final = 16


@dataclass
class CountTimes:
    """The task of counting the times of one partition.

    It writes the different seconds and how often each occurs, sorted, and finds the
    `periods`, their `counts`, and the `starts` of their seconds, with the end.
    """

    inputs: Inputs
    _movie_ids: Ids | None = field(default=None)

    def load(self) -> None:
        """Reads what all partitions need."""
        self._movie_ids = self.inputs.read_listed().movie_ids

    def __call__(self, partition: Partition) -> None:
        """Counts the times of the events that are trained on or held out."""
        assert self._movie_ids is not None
        ratings, _ = gather.collect(partition, self._movie_ids)
        times = timelines.trainable_timestamps(
            ratings, self.inputs.config, self.inputs.first_span
        )
        seconds, counts = np.unique(times, return_counts=True)
        rows = np.stack([seconds, counts], axis=1).astype("<i8")
        storage.write(_path(self.inputs, partition.number), rows.tobytes())
        periods, starts = np.unique(seconds >> _PERIOD_BITS, return_index=True)
        before = np.concatenate(([0], np.cumsum(counts)))
        starts = np.append(starts, len(seconds))
        arrays = {
            "periods": periods,
            "counts": np.diff(before[starts]),
            "starts": starts,
        }
        Facts({}, arrays).write(self.inputs.facts("times", partition.number))


def _path(inputs: Inputs, partition: int) -> str:
    return inputs.path(f"times-{partition:05d}")


def cut(inputs: Inputs, num_partitions: int) -> int:
    """Returns what `timelines.temporal_cut` finds for the events of all partitions.

    Only the seconds of the period with the cut are read.
    """
    if not num_partitions:
        return 0
    found = [facts.read(inputs.facts("times", n)).arrays for n in range(num_partitions)]
    periods, place = np.unique(
        np.concatenate([f["periods"] for f in found]), return_inverse=True
    )
    totals = np.zeros(len(periods), np.int64)
    np.add.at(totals, place, np.concatenate([f["counts"] for f in found]))
    if not len(periods):
        return 0
    index = timelines.cut_index(int(totals.sum()), inputs.config)
    ends = np.cumsum(totals)
    chosen = int(np.searchsorted(ends, index, side="right"))
    period = int(periods[chosen])
    in_period = np.zeros(1 << _PERIOD_BITS, np.int64)
    for number, arrays in enumerate(found):
        at = int(np.searchsorted(arrays["periods"], period))
        if at == len(arrays["periods"]) or arrays["periods"][at] != period:
            continue
        start, end = (int(s) * _ROW_BYTES for s in arrays["starts"][at : at + 2])
        content = storage.read(_path(inputs, number), start, end - start)
        assert content is not None, "the file of a task that has ended"
        seconds, counts = np.frombuffer(content, "<i8").reshape(-1, 2).T
        in_period[seconds - (period << _PERIOD_BITS)] += counts
    left = index - int(ends[chosen] - totals[chosen])
    second = int(np.searchsorted(np.cumsum(in_period), left, side="right"))
    return (period << _PERIOD_BITS) + second
