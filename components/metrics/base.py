"""What a retrieval metric is: a number for each ranked query, averaged over queries.

A metric is computed from the outputs of the model's `evaluate` signature alone, a
batch of queries at a time. Most metrics are means of one value per query
(`MeanMetric`): macro averages over users.

Only queries with a held-out movie are measured; the others are counted and left out.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]


class Query(NamedTuple):
    """The outputs of the `evaluate` signature for one query, named as there.

    Attributes:
      rank: int32 `[held_out]`: from 1; above `corpus_size` for a movie that can never
        be shown; 0 for padding.
      popularity_rank: int32 `[held_out]`: the same by number of training events.
      top_ids: int32 `[top_k]`: corpus rows, best first; -1 for padding.
      top_self_information: float32 `[top_k]`: bits; 0 for padding.
      corpus_size: int32 `[1]`.
      trained_on: int32 `[held_out]`: 1 where the model knows that it was trained on
        this very event, which a held-out one never may be.
    """

    rank: IntArray
    popularity_rank: IntArray
    top_ids: IntArray
    top_self_information: NDArray[np.float32]
    corpus_size: IntArray
    trained_on: IntArray


@dataclasses.dataclass(frozen=True)
class QueryBatch:
    """Ranked queries, each with at least one held-out movie; see `Query`.

    Attributes:
      rank: `[queries, held_out]`, padded with 0.
      popularity_rank: `[queries, held_out]`, padded with 0.
      top_ids: `[queries, top_k]`.
      top_self_information: `[queries, top_k]`.
      corpus_size: `[queries]`.
      trained_on: `[queries, held_out]`, padded with 0.
    """

    rank: IntArray
    popularity_rank: IntArray
    top_ids: IntArray
    top_self_information: NDArray[np.float32]
    corpus_size: IntArray
    trained_on: IntArray

    @classmethod
    def of(cls, queries: Sequence[Query]) -> QueryBatch:
        """Stacks queries, padding their held-out movies to the longest list."""
        longest = max(len(query.rank) for query in queries)

        def padded(rows: Iterator[IntArray]) -> IntArray:
            whole = np.zeros((len(queries), longest), np.int32)
            for row, values in enumerate(rows):
                whole[row, : len(values)] = values
            return whole

        return cls(
            rank=padded(query.rank for query in queries),
            popularity_rank=padded(query.popularity_rank for query in queries),
            top_ids=np.stack([query.top_ids for query in queries]),
            top_self_information=np.stack([q.top_self_information for q in queries]),
            corpus_size=np.concatenate([query.corpus_size for query in queries]),
            trained_on=padded(query.trained_on for query in queries),
        )

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.rank)

    def by_popularity(self) -> QueryBatch:
        """The same queries as the popularity baseline ranks them."""
        return dataclasses.replace(self, rank=self.popularity_rank)

    def hits(self, k: int) -> NDArray[np.bool_]:
        """Bool `[queries, held_out]`: held-out movies among the first `k`.

        A rank beyond the corpus is never a hit, however large `k` is.
        """
        last = np.minimum(k, self.corpus_size)[:, np.newaxis]
        return np.asarray((self.rank > 0) & (self.rank <= last))

    def num_relevant(self, k: int) -> IntArray:
        """`[queries]`: hits that a perfect ranking has among its first `k`."""
        return np.minimum(np.count_nonzero(self.rank, axis=1), k).astype(np.int32)

    def shown(self, k: int) -> NDArray[np.bool_]:
        """Bool `[queries, min(k, top_k)]`: places of the top `k` that hold a movie."""
        return np.asarray(self.top_ids[:, :k] >= 0)

    def lists_top(self, k: int) -> bool:
        """Whether `top_ids` is long enough to know the first `k`."""
        return self.top_ids.shape[1] >= min(k, int(self.corpus_size.max(initial=0)))


class MeanMetric(abc.ABC):
    """The mean over queries of one value per query.

    Attributes:
      name: As in the configuration.
      is_fraction: Whether every query's value is from 0 to 1.
    """

    name: str
    is_fraction: bool

    @abc.abstractmethod
    def value(self, batch: QueryBatch) -> FloatArray:
        """float64 `[queries]`: the metric of each query alone."""


class AccuracyMetric(MeanMetric):
    """A mean metric of `rank` alone, so that popularity can be measured by it too."""

    is_fraction = True


class CutoffMetric(AccuracyMetric):
    """An accuracy metric of the first `k` movies, named `<base_name>@<k>`.

    Attributes:
      base_name: Its name without the cut-off.
      k: Movies of the ranking that are looked at.
    """

    base_name: str

    def __init__(self, k: int) -> None:
        """Makes the metric at cut-off `k`."""
        self.name = f"{self.base_name}@{k}"
        self.k = k


class WholeMetric(abc.ABC):
    """A metric of all queries together, which is no mean of one value per query.

    It is gathered in a state of its own, in parts that are merged in any order.

    Attributes:
      name: As in the configuration.
    """

    name: str

    @abc.abstractmethod
    def start(self) -> Any:
        """The state before the first query."""

    @abc.abstractmethod
    def add(self, state: Any, batch: QueryBatch) -> Any:
        """The state with some queries more."""

    @abc.abstractmethod
    def merge(self, first: Any, second: Any) -> Any:
        """The state of both parts."""

    @abc.abstractmethod
    def value(self, state: Any) -> float:
        """The metric; NaN without a query."""

    @abc.abstractmethod
    def standard_error(self, state: Any) -> float:
        """Its standard error over users; NaN where it is not defined."""
