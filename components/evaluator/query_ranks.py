"""`query_ranks.parquet`: how the candidate ranked each user's held-out movies.

Metrics are sums over users. To compare two runs user by user, as the Evaluator compares
two models, each run's ranks are needed. The file has one row a query with a held-out
movie, about 14 bytes each:

    user_id      string
    row          uint64: fingerprint of the eval row, which equal rows share
    corpus_size  int32: see `components.metrics.Ranks`
    rank         list of int32: the same, one for each held-out movie
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.metrics import AccuracyMetric, Ranks, metric_named
from components.metrics.paired import MeanEstimate, PairedSums
from trainer.arrow_files import refuse_code
from trainer.errors import UserError

# Beside `retrieval_summary.json` in the evaluation artifact.
RANKS_FILE: Final = "query_ranks.parquet"


class RankedUser(NamedTuple):
    """A row of the file."""

    user_id: str
    row: int
    corpus_size: int
    rank: list[int]


def row_fingerprint(row: bytes) -> int:
    """Returns the fingerprint of a serialized eval row."""
    return int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "little")


def write_query_ranks(queries: Iterable[RankedUser], evaluation_uri: str) -> None:
    """Writes the file, sorted by user so that it is the same each time."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from tfx.dsl.io import fileio

    schema = pa.schema(
        {
            "user_id": pa.string(),
            "row": pa.uint64(),
            "corpus_size": pa.int32(),
            "rank": pa.list_(pa.int32()),
        }
    )
    rows = [query._asdict() for query in sorted(queries)]
    content = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema), content, compression="zstd")
    with fileio.open(f"{evaluation_uri}/{RANKS_FILE}", "wb") as file:
        file.write(content.getvalue().to_pybytes())


@dataclass(frozen=True)
class QueryRanks:
    """The content of the file, in the order of the users.

    Attributes:
      user_id: `[queries]`.
      row: uint64 `[queries]`: fingerprint of the eval row.
      ranks: Of the held-out movies.
    """

    user_id: NDArray[np.str_]
    row: NDArray[np.uint64]
    ranks: Ranks

    @classmethod
    def read(cls, evaluation_uri: str) -> QueryRanks | None:
        """Reads a run's evaluation; None where it has no such file.

        Raises:
          UserError: The file is not the one that was written.
        """
        path = Path(evaluation_uri, RANKS_FILE)
        if not path.is_file():
            return None
        import pyarrow as pa
        import pyarrow.parquet as pq

        refuse_code()
        try:
            table = pq.read_table(path)
            table = table.select(["user_id", "row", "corpus_size", "rank"])
        except (pa.ArrowException, OSError, LookupError, RuntimeError) as error:
            raise UserError(
                f"{path} cannot be read: {str(error).partition(chr(10))[0]}",
                "The file is damaged: compare another run.",
            ) from error
        users = np.array(table["user_id"].to_pylist(), dtype=np.str_)
        _, order = np.unique(users, return_index=True)
        ranks = table["rank"].combine_chunks()
        lengths = np.diff(ranks.offsets.to_numpy())
        padded = np.zeros((len(users), lengths.max(initial=1)), np.int32)
        padded[np.arange(padded.shape[1]) < lengths[:, np.newaxis]] = ranks.flatten()
        whole = Ranks(padded, table["corpus_size"].to_numpy())
        return cls(users, table["row"].to_numpy(), whole).take(order)

    def take(self, indices: NDArray[np.int64]) -> QueryRanks:
        """Returns the queries at some indices."""
        ranks = Ranks(self.ranks.rank[indices], self.ranks.corpus_size[indices])
        return QueryRanks(self.user_id[indices], self.row[indices], ranks)


@dataclass(frozen=True)
class Pairs:
    """The users that two runs have in common.

    Attributes:
      users: Number of common users.
      same_rows: How many of them have the same history and held-out movies in both.
      of_each: Number of users of the first and of the second run.
      ranks: Of the common users, in the first and in the second run.
    """

    users: int
    same_rows: int
    of_each: tuple[int, int]
    ranks: tuple[Ranks, Ranks]

    @classmethod
    def of(cls, first: QueryRanks, second: QueryRanks) -> Pairs:
        """Finds them by their ids."""
        users, one, other = np.intersect1d(
            first.user_id, second.user_id, assume_unique=True, return_indices=True
        )
        of_each = (len(first.user_id), len(second.user_id))
        first, second = first.take(one), second.take(other)
        same_rows = int((first.row == second.row).sum())
        return cls(len(users), same_rows, of_each, (first.ranks, second.ranks))

    def differences(self, names: Sequence[str]) -> dict[str, MeanEstimate]:
        """Returns the paired differences second - first.

        Args:
          names: Metrics; those that need more than ranks are left out.
        """
        metrics: list[AccuracyMetric] = []
        for name in names:
            try:
                metric = metric_named(name)
            except ValueError:  # a class of the user's that is gone since
                continue
            if isinstance(metric, AccuracyMetric):
                metrics.append(metric)
        sums = PairedSums.zero(len(metrics), num_rankers=2)
        if self.users and metrics:
            sums.add(np.array([[m.value(r) for r in self.ranks] for m in metrics]))
        return {
            metric.name: sums.difference(index, first=1, second=0)
            for index, metric in enumerate(metrics)
        }
