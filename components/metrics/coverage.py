"""Coverage of the corpus at k."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from components.metrics.base import Metric, QueryBatch


@dataclasses.dataclass
class _Shown:
    """What was shown to anybody.

    Attributes:
      rows: Bool `[corpus_size]`; empty before the first query, which tells the size.
      is_known: Whether every query so far listed its first k movies.
    """

    rows: NDArray[np.bool_]
    is_known: bool


class Coverage(Metric):
    """Share of the corpus that is among the first k of at least one user.

        coverage@k = |union over users u of top k(u)| / |corpus|

    It is no mean over users: a slice's coverage shrinks with its number of users. NaN
    where the model lists fewer than k movies.

    Source: Ge, Delgado-Battenfeld and Jannach, "Beyond Accuracy: Evaluating Recommender
    Systems by Coverage and Serendipity", RecSys 2010, "catalog coverage".
    """

    def __init__(self, k: int) -> None:
        """Makes the metric at cut-off `k`."""
        self.names = (f"coverage@{k}",)
        self.k = k

    def start(self) -> _Shown:
        """Nothing was shown yet."""
        return _Shown(np.zeros(0, np.bool_), is_known=True)

    def add(self, state: _Shown, batch: QueryBatch) -> _Shown:
        """Marks the first k of each query."""
        rows = state.rows if len(state.rows) else np.zeros(batch.corpus_size[0], bool)
        rows[batch.top_ids[:, : self.k][batch.shown(self.k)]] = True
        return _Shown(rows, state.is_known and batch.lists_top(self.k))

    def merge(self, first: _Shown, second: _Shown) -> _Shown:
        """What was shown in either part."""
        parts = [rows for rows in (first.rows, second.rows) if len(rows)]
        rows = np.logical_or.reduce(parts) if parts else first.rows
        return _Shown(rows, first.is_known and second.is_known)

    def results(self, state: _Shown, num_queries: int) -> tuple[float, ...]:
        """The share of rows that were shown; NaN without a query."""
        if not state.is_known or not num_queries:
            return (float("nan"),)
        return (float(state.rows.mean()),)
