"""How runs ranked each user's held-out movies, and the differences between two runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from components.metrics.base import AccuracyMetric, IntArray, QueryBatch
from components.metrics.moments import Contrast, Moments
from components.metrics.registry import metric_named

# Beside `retrieval_summary.json`; `components.evaluator.query_ranks_writer` writes it.
RANKS_FILE: Final = "query_ranks.parquet"


@dataclass(frozen=True)
class QueryRanks:
    """One query a user, in the order of the users.

    Attributes:
      user_id: `[queries]`.
      row: uint64 `[queries]`: fingerprint of the eval row.
      corpus_size: int32 `[queries]`.
      rank: int32 `[queries, held_out]`: see `components.metrics.base.Query`; padded
        with 0.
    """

    user_id: NDArray[np.str_]
    row: NDArray[np.uint64]
    corpus_size: IntArray
    rank: IntArray

    @classmethod
    def read(cls, evaluation_uri: str) -> QueryRanks | None:
        """Reads a run's evaluation; None where it kept no ranks."""
        path = Path(evaluation_uri, RANKS_FILE)
        if not path.is_file():
            return None
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        users = np.array(table["user_id"].to_pylist(), dtype=np.str_)
        _, order = np.unique(users, return_index=True)
        ranks = table["rank"].combine_chunks()
        lengths = np.diff(ranks.offsets.to_numpy())
        padded = np.zeros((len(users), lengths.max(initial=1)), np.int32)
        padded[np.arange(padded.shape[1]) < lengths[:, np.newaxis]] = ranks.flatten()
        return cls(
            users[order],
            table["row"].to_numpy()[order],
            table["corpus_size"].to_numpy()[order],
            padded[order],
        )

    def batch(self, places: NDArray[np.int64]) -> QueryBatch:
        """What a metric of ranks alone looks at, of some queries."""
        rank = self.rank[places]
        nothing = np.zeros((len(rank), 0), np.int32)
        return QueryBatch(
            rank=rank,
            popularity_rank=np.zeros_like(rank),
            top_ids=nothing,
            top_self_information=nothing.astype(np.float32),
            corpus_size=self.corpus_size[places],
            trained_on=np.zeros_like(rank),
        )


@dataclass(frozen=True)
class Pairs:
    """The users whom both runs were asked about.

    Attributes:
      users: How many.
      same_rows: Of them, those with the same history and the same held-out movies.
      of_each: Users of the first and of the second run.
    """

    users: int
    same_rows: int
    of_each: tuple[int, int]
    _first: QueryBatch
    _second: QueryBatch

    @classmethod
    def of(cls, first: QueryRanks, second: QueryRanks) -> Pairs:
        """Finds them by their ids."""
        users, one, other = np.intersect1d(
            first.user_id, second.user_id, assume_unique=True, return_indices=True
        )
        return cls(
            users=len(users),
            same_rows=int((first.row[one] == second.row[other]).sum()),
            of_each=(len(first.user_id), len(second.user_id)),
            _first=first.batch(one),
            _second=second.batch(other),
        )

    def differences(self, names: Sequence[str]) -> dict[str, Contrast]:
        """Returns second minus first, user by user.

        Args:
          names: Metrics; those that cannot be told from ranks alone are left out.
        """
        metrics = [metric for name in names if (metric := _of_ranks(name))]
        moments = Moments.zero(len(metrics), num_rankers=2)
        if self.users and metrics:
            sides = (self._first, self._second)
            moments.add(np.array([[m.value(b) for b in sides] for m in metrics]))
        return {
            metric.name: moments.contrast(index, [-1.0, 1.0])
            for index, metric in enumerate(metrics)
        }


def _of_ranks(name: str) -> AccuracyMetric | None:
    """The metric, if ranks alone tell it; one of its own a run may have taken along."""
    try:
        metric = metric_named(name)
    except ValueError:
        return None
    return metric if isinstance(metric, AccuracyMetric) else None
