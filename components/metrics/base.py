"""The kinds of retrieval metrics, and the ranked queries that they read.

Most metrics are means over queries of one value per query (`MeanMetric`), which are
macro averages over users. Only queries with a held-out movie are measured.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]
State = TypeVar("State")


class Query(NamedTuple):
    """The outputs of the `evaluate` signature for one query, under their names there.

    See `QueryBatch` for what they mean. Shapes: `rank`, `popularity_rank` and
    `trained_on` are `[held_out]`, `top_ids`, `top_self_information`, `genre_diversity`
    and `genre_divergence` `[top_k]`, `corpus_size` and `index_recall` `[1]`.
    """

    rank: IntArray
    corpus_size: IntArray
    popularity_rank: IntArray
    top_ids: IntArray
    top_self_information: NDArray[np.float32]
    trained_on: IntArray
    index_recall: NDArray[np.float32]
    genre_diversity: NDArray[np.float32]
    genre_divergence: NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Ranks:
    """Ranks of held-out movies: all that an accuracy metric reads.

    Attributes:
      rank: int32 `[queries, held_out]`: rank of each held-out movie, from 1; above
        `corpus_size` for a movie that can never be shown; 0 for padding. Each query has
        at least one held-out movie.
      corpus_size: int32 `[queries]`: number of movies that can be recommended.
    """

    rank: IntArray
    corpus_size: IntArray

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.rank)

    def hits(self, k: int) -> NDArray[np.bool_]:
        """Bool `[queries, held_out]`: held-out movies among the first `k`.

        A rank beyond the corpus is never a hit, however large `k` is.
        """
        last = np.minimum(k, self.corpus_size)[:, np.newaxis]
        return np.asarray((self.rank > 0) & (self.rank <= last))

    def num_relevant(self, k: int) -> IntArray:
        """int32 `[queries]`: hits that a perfect ranking has among its first `k`."""
        return np.minimum(np.count_nonzero(self.rank, axis=1), k).astype(np.int32)


@dataclasses.dataclass(frozen=True)
class QueryBatch(Ranks):
    """All outputs of the `evaluate` signature for a batch of queries.

    Attributes:
      popularity_rank: int32 `[queries, held_out]`: like `rank`, in a ranking by number
        of training events.
      top_ids: int32 `[queries, top_k]`: corpus rows, best first; -1 for padding.
      top_self_information: float32 `[queries, top_k]`: bits; 0 for padding.
      trained_on: int32 `[queries, held_out]`: 1 where the model was trained on this
        very event, which must not happen to a held-out event; else 0.
      index_recall: float32 `[queries]`: how many of the best movies the model's index
        finds, from 0 to 1.
      genre_diversity: float32 `[queries, top_k]`, of the first 1, 2, ... movies; NaN if
        the model does not compute it.
      genre_divergence: The same, in nats.
    """

    popularity_rank: IntArray
    top_ids: IntArray
    top_self_information: NDArray[np.float32]
    trained_on: IntArray
    index_recall: NDArray[np.float32]
    genre_diversity: NDArray[np.float32]
    genre_divergence: NDArray[np.float32]

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
            corpus_size=np.concatenate([query.corpus_size for query in queries]),
            popularity_rank=padded(query.popularity_rank for query in queries),
            top_ids=np.stack([query.top_ids for query in queries]),
            top_self_information=np.stack([q.top_self_information for q in queries]),
            trained_on=padded(query.trained_on for query in queries),
            index_recall=np.concatenate([query.index_recall for query in queries]),
            genre_diversity=np.stack([query.genre_diversity for query in queries]),
            genre_divergence=np.stack([query.genre_divergence for query in queries]),
        )

    def by_popularity(self) -> Ranks:
        """The ranks of the same queries in the popularity ranking."""
        return Ranks(self.popularity_rank, self.corpus_size)

    def shown(self, k: int) -> NDArray[np.bool_]:
        """Bool `[queries, min(k, top_k)]`: positions of the top `k` with a movie."""
        return np.asarray(self.top_ids[:, :k] >= 0)

    def lists_top(self, k: int) -> bool:
        """Whether `top_ids` is long enough to know the first `k`."""
        return self.top_ids.shape[1] >= min(k, int(self.corpus_size.max(initial=0)))


class MeanMetric(abc.ABC):
    """The mean over queries of one value per query.

    Attributes:
      name: Name of the metric in the configuration.
      is_fraction: Whether every query's value is from 0 to 1.
      lower_is_better: Whether a smaller value is the better one.
    """

    name: str
    is_fraction: bool
    lower_is_better: bool = False

    @abc.abstractmethod
    def value(self, batch: QueryBatch) -> FloatArray:
        """float64 `[queries]`: the metric of each query alone."""


class AccuracyMetric(MeanMetric):
    """A mean metric of ranks alone, so that popularity can be measured by it too."""

    is_fraction = True

    @abc.abstractmethod
    def value(self, batch: Ranks) -> FloatArray:
        """float64 `[queries]`: the metric of each query alone, from 0 to 1."""


class WithCutoff:
    """A metric of the first `k` movies, named `<base_name>@<k>`.

    Attributes:
      base_name: Its name without the cut-off.
      k: Number of movies of the ranking that are looked at.
    """

    base_name: str

    def __init__(self, k: int) -> None:
        """Makes the metric at cut-off `k`."""
        self.name = f"{self.base_name}@{k}"
        self.k = k


class CutoffMetric(WithCutoff, AccuracyMetric):
    """An accuracy metric of the first `k` movies, named `<base_name>@<k>`.

    A metric of your own is a subclass whose `base_name` is its dotted path:

        >>> class Perfect(CutoffMetric):
        ...     '''Share of users whose held-out movies are all among the first k.'''
        ...
        ...     base_name = "my_package.metrics.Perfect"
        ...
        ...     def value(self, batch: Ranks) -> FloatArray:
        ...         found = batch.hits(self.k).sum(axis=1)
        ...         return (found == np.count_nonzero(batch.rank, axis=1)).astype(float)
        >>> ranks = Ranks(np.array([[1, 3], [2, 11]]), corpus_size=np.array([50, 50]))
        >>> Perfect(10).value(ranks).tolist()
        [1.0, 0.0]

    `eval.metrics: ["my_package.metrics.Perfect@10"]` computes it in every evaluation.
    """


class AggregateMetric(abc.ABC, Generic[State]):
    """A metric of all queries together that is not a mean of one value per query.

    It accumulates a state of its own; states are merged in any order.

    Attributes:
      name: Name of the metric in the configuration.
    """

    name: str

    @abc.abstractmethod
    def start(self) -> State:
        """Returns the state before the first query."""

    @abc.abstractmethod
    def add(self, state: State, batch: QueryBatch) -> State:
        """Returns the state after another batch of queries."""

    @abc.abstractmethod
    def merge(self, first: State, second: State) -> State:
        """Returns the state of the queries of both."""

    @abc.abstractmethod
    def value(self, state: State) -> float:
        """Returns the metric; NaN without queries."""

    @abc.abstractmethod
    def standard_error(self, state: State) -> float:
        """Returns its standard error over users; NaN where it is not defined."""


Metric: TypeAlias = MeanMetric | AggregateMetric[Any]
