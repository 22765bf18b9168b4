"""Coverage of the corpus at k."""

from __future__ import annotations

import dataclasses
import math
from typing import Final

import numpy as np

from components.metrics.base import AggregateMetric, IntArray, QueryBatch, WithCutoff

_NO_QUERY: Final = 0
_SEVERAL: Final = -1


@dataclasses.dataclass
class Shown:
    """Which movies were shown to how many queries: none, one (which one) or several.

    Attributes:
      to: int32 `[corpus_size]`: 0 for no query, -1 for several, else the number of the
        only query, from 1. Empty before the first query.
      queries: Number of queries so far.
      is_known: Whether every query so far listed its first k movies.
    """

    to: IntArray
    queries: int
    is_known: bool


class Coverage(WithCutoff, AggregateMetric[Shown]):
    """Share of the corpus that is among the first k of at least one user.

        coverage@k = |union over users u of top k(u)| / |corpus|

    It is not a mean over users: fewer users in a slice cover fewer movies. NaN
    where the model lists fewer than k movies.

    Its standard error is the jackknife's: without user u, the movies shown to u alone
    would be missing.

    Source: Ge, Delgado-Battenfeld and Jannach, "Beyond Accuracy: Evaluating Recommender
    Systems by Coverage and Serendipity", RecSys 2010, "catalog coverage"; its error:
    Heltshe and Forrester, "Estimating species richness using the jackknife procedure",
    Biometrics 39(1), 1983.
    """

    base_name = "coverage"

    def start(self) -> Shown:
        """Nothing has been shown yet."""
        return Shown(np.zeros(0, np.int32), queries=0, is_known=True)

    def add(self, state: Shown, batch: QueryBatch) -> Shown:
        """Marks the first k of each query."""
        positions = batch.shown(self.k)
        rows = batch.top_ids[:, : self.k][positions]
        query = np.broadcast_to(
            np.arange(1, len(batch) + 1)[:, np.newaxis], positions.shape
        )
        to = np.zeros(batch.corpus_size[0], np.int32)
        to[rows] = query[positions]
        to[np.bincount(rows, minlength=len(to)) > 1] = _SEVERAL
        return self.merge(state, Shown(to, len(batch), batch.lists_top(self.k)))

    def merge(self, first: Shown, second: Shown) -> Shown:
        """What was shown in either part."""
        queries = first.queries + second.queries
        is_known = first.is_known and second.is_known
        if not len(first.to) or not len(second.to):
            return Shown(first.to if len(first.to) else second.to, queries, is_known)
        # The second part's queries are numbered behind the first's.
        later = np.where(second.to > 0, second.to + np.int32(first.queries), second.to)
        only = np.where(first.to == _NO_QUERY, later, first.to)
        in_both = (first.to != _NO_QUERY) & (later != _NO_QUERY)
        return Shown(np.where(in_both, np.int32(_SEVERAL), only), queries, is_known)

    def value(self, state: Shown) -> float:
        """The share of rows that were shown; NaN without a query."""
        if not state.is_known or not state.queries:
            return math.nan
        return float((state.to != _NO_QUERY).mean())

    def standard_error(self, state: Shown) -> float:
        """The jackknife's standard error of the share; NaN without a query."""
        if not state.is_known or not state.queries:
            return math.nan
        alone = np.bincount(state.to[state.to > 0], minlength=state.queries + 1)[1:]
        spread = float(((alone - alone.mean()) ** 2).sum())
        variance = (state.queries - 1) / state.queries * spread
        return math.sqrt(variance) / len(state.to)
