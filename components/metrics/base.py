"""What a retrieval metric is: sums over batches of ranked queries.

A metric is computed from the outputs of the model's `evaluate` signature alone, a
batch of queries at a time, and its state is merged across Beam workers. Most metrics
are means of one value per query (`MeanMetric`): macro averages over users.

Only queries with a held-out movie are measured; the others are counted and left out.
"""

from __future__ import annotations

import abc
import dataclasses
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
    """

    rank: IntArray
    popularity_rank: IntArray
    top_ids: IntArray
    top_self_information: NDArray[np.float32]
    corpus_size: IntArray


@dataclasses.dataclass(frozen=True)
class QueryBatch:
    """Ranked queries, each with at least one held-out movie; see `Query`.

    Attributes:
      rank: `[queries, held_out]`, padded with 0.
      popularity_rank: `[queries, held_out]`, padded with 0.
      top_ids: `[queries, top_k]`.
      top_self_information: `[queries, top_k]`.
      corpus_size: `[queries]`.
    """

    rank: IntArray
    popularity_rank: IntArray
    top_ids: IntArray
    top_self_information: NDArray[np.float32]
    corpus_size: IntArray

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


class Metric(abc.ABC):
    """A metric that is accumulated over batches of queries.

    Attributes:
      names: The names of its results, its own first.
    """

    names: tuple[str, ...]

    @abc.abstractmethod
    def start(self) -> Any:
        """The state before the first query."""

    @abc.abstractmethod
    def add(self, state: Any, batch: QueryBatch) -> Any:
        """The state after `batch`; may change `state`."""

    @abc.abstractmethod
    def merge(self, first: Any, second: Any) -> Any:
        """The state after both states' queries; may change `first`."""

    @abc.abstractmethod
    def results(self, state: Any, num_queries: int) -> tuple[float, ...]:
        """One value for each of `names`; NaN where it is not defined."""


class MeanMetric(Metric):
    """The mean over queries of one value per query."""

    def __init__(self, name: str) -> None:
        """Makes the metric `name`."""
        self.names = (name,)

    @abc.abstractmethod
    def value(self, batch: QueryBatch) -> FloatArray:
        """float64 `[queries]`: the metric of each query alone."""

    def start(self) -> float:
        """No sum yet."""
        return 0.0

    def add(self, state: float, batch: QueryBatch) -> float:
        """Adds the batch's values."""
        return state + float(self.value(batch).sum())

    def merge(self, first: float, second: float) -> float:
        """Adds both sums."""
        return first + second

    def results(self, state: float, num_queries: int) -> tuple[float, ...]:
        """The mean; NaN without a query."""
        return (mean(state, num_queries),)


class AccuracyMetric(MeanMetric):
    """A mean metric of `rank` alone, so that popularity can be measured by it too."""


class CutoffMetric(AccuracyMetric):
    """An accuracy metric of the first `k` movies, named `<base_name>@<k>`.

    Attributes:
      base_name: Its name without the cut-off.
      k: Movies of the ranking that are looked at.
    """

    base_name: str

    def __init__(self, k: int) -> None:
        """Makes the metric at cut-off `k`."""
        super().__init__(f"{self.base_name}@{k}")
        self.k = k


def mean(total: float, count: int) -> float:
    """`total / count`; NaN where there is nothing to average."""
    return total / count if count else float("nan")
