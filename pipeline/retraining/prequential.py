"""Measures models on the events of a span before anything is trained on it.

Prequential evaluation ("first test, then train") uses all data, in the order in which
it arrives, and asks what serving asks: how good is the model on what comes next?

Each event of the span is predicted from all events of the user before it, those of the
same span included, as a server does that is given the user's timeline: see
`pipeline.retraining.span_queries`. The mean over a user's events is the user's value,
and metrics are means over users, so that ten users with few events count as much as ten
with many. A movie that a model does not know ranks last; users whom it does not know
are measured too.

Source: Gama, Sebastião and Rodrigues, "On evaluating stream learning algorithms",
Machine Learning 90(3), 2013.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.metrics import AccuracyMetric, Ranks, metric_named, uncertainty
from components.metrics.paired import PairedSums
from components.movielens_example_gen.tables import Ids
from pipeline.retraining.span_queries import SpanQueries
from trainer.errors import UserError
from trainer.serving_contract import EVALUATE, USER_VOCABULARY

# Each query has one held-out movie, so that recall@10 is the hit rate too.
METRICS: Final = ("recall@10", "ndcg@10", "mrr")
# The ranking by number of ratings in all older spans: it is always up to date.
POPULARITY: Final = "popularity"
CONFIDENCE: Final = 0.95


class Estimate(NamedTuple):
    """A mean over users and its interval; NaN without users."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Prequential:
    """How rankers did on one span.

    Attributes:
      rankers: Names of the models, and `POPULARITY`, which is the last.
      user_ids: `[users]` bytes.
      values: float64 `[metrics, rankers, users]`, mean over each user's events.
      num_queries: Events that were predicted.
      num_events: Events that could have been: some are left out of large spans.
      num_users: Users who could have been.
      unknown_users: Ranker -> number of users whom it was not trained on.
      unknown_movies: Ranker -> number of events of movies that are not in its corpus.
      trained_on: Ranker -> number of events that it is known to be trained on; not 0
        for a model that is no older than the span.
      seconds: What it took.
    """

    rankers: tuple[str, ...]
    user_ids: Ids
    values: NDArray[np.float64]
    num_queries: int
    num_events: int
    num_users: int
    unknown_users: dict[str, int]
    unknown_movies: dict[str, int]
    trained_on: dict[str, int]
    seconds: float

    def of(self, metric: str, ranker: str) -> NDArray[np.float64]:
        """Values of the users, `[users]`."""
        return np.asarray(
            self.values[METRICS.index(metric), self.rankers.index(ranker)]
        )

    def mean(self, metric: str, ranker: str) -> Estimate:
        """Returns a metric with its interval."""
        estimate = self._sums().mean(METRICS.index(metric), self.rankers.index(ranker))
        quantile = uncertainty.two_sided(CONFIDENCE)
        return Estimate(
            estimate.mean,
            *uncertainty.fraction_interval(
                estimate.mean, estimate.standard_error, estimate.count, quantile
            ),
        )

    def difference(self, metric: str, first: str, second: str) -> Estimate:
        """Returns the paired difference `first - second` with its interval."""
        estimate = self._sums().difference(
            METRICS.index(metric),
            self.rankers.index(first),
            self.rankers.index(second),
        )
        quantile = uncertainty.two_sided(CONFIDENCE)
        return Estimate(
            estimate.mean,
            *uncertainty.normal_interval(
                estimate.mean, estimate.adjusted_error, quantile, -1.0, 1.0
            ),
        )

    def _sums(self) -> PairedSums:
        sums = PairedSums.zero(len(METRICS), len(self.rankers))
        sums.add(self.values)
        return sums


def measure(models: Mapping[str, Path], queries: SpanQueries) -> Prequential:
    """Measures models, and popularity up to the span, on the same events of a span.

    It imports TensorFlow, which takes 8 seconds of a process.

    Args:
      models: Name -> folder of a SavedModel.
      queries: From `pipeline.retraining.span_queries.SpanData.queries`.

    Raises:
      UserError: A model cannot be loaded.
    """
    start = time.monotonic()
    ranks = _rank(models, queries)
    return dataclasses.replace(
        _by_user(models, queries, ranks), seconds=time.monotonic() - start
    )


@dataclass(frozen=True)
class _Ranked:
    """One ranker's ranks, and which events its model was trained on, `[queries]`."""

    rank: NDArray[np.int32]
    corpus_size: NDArray[np.int32]
    trained_on: NDArray[np.int32]


def _rank(models: Mapping[str, Path], queries: SpanQueries) -> dict[str, _Ranked]:
    """Ranks all queries by all models and by popularity."""
    import tensorflow as tf

    from trainer.popularity import PopularityRanking
    from trainer.ranking import PADDING

    loaded = {name: _load(folder) for name, folder in models.items()}
    popularity = PopularityRanking(queries.num_ratings)
    size = len(queries.num_ratings)
    blocks: dict[str, list[_Ranked]] = {name: [] for name in (*models, POPULARITY)}
    for batch in queries.batches():
        for name, model in loaded.items():
            found = EVALUATE.call(model, examples=batch.rows)
            columns = (found[key] for key in ("rank", "corpus_size", "trained_on"))
            blocks[name].append(_Ranked(*(column[:, 0] for column in columns)))
        seen = tf.RaggedTensor.from_row_lengths(batch.seen, batch.seen_lengths)
        rank = popularity.rank(seen.to_tensor(PADDING), batch.held_out[:, np.newaxis])
        nothing = np.zeros(len(batch.rows), np.int32)
        ranked = _Ranked(rank.numpy()[:, 0], nothing + size, nothing)
        blocks[POPULARITY].append(ranked)
    return {name: _joined(some) for name, some in blocks.items()}


def _joined(blocks: list[_Ranked]) -> _Ranked:
    empty = _Ranked(*(np.zeros(0, np.int32) for _ in dataclasses.fields(_Ranked)))
    columns = [dataclasses.astuple(block) for block in [empty, *blocks]]
    return _Ranked(*map(np.concatenate, zip(*columns, strict=True)))


def _load(folder: Path) -> Any:
    import tensorflow as tf

    try:
        model = tf.saved_model.load(str(folder))
        EVALUATE.function(model)
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise UserError(
            f"The model {folder} cannot be loaded, or has no function evaluate: "
            f"{str(error).partition(chr(10))[0]}",
            "Remove it, or push it again with `two-tower run --push-again`.",
        ) from error
    return model


def _by_user(
    models: Mapping[str, Path], queries: SpanQueries, ranked: Mapping[str, _Ranked]
) -> Prequential:
    """Averages over each user's events."""
    num_users = len(queries.user_ids)
    users = queries.user_of_query
    counts = np.maximum(np.bincount(users, minlength=num_users), 1)
    values = np.zeros((len(METRICS), len(ranked), num_users))
    for row, name in enumerate(METRICS):
        metric = metric_named(name)
        assert isinstance(metric, AccuracyMetric)
        for column, one in enumerate(ranked.values()):
            ranks = Ranks(one.rank[:, np.newaxis], one.corpus_size)
            sums = np.bincount(users, metric.value(ranks), num_users)
            values[row, column] = sums / counts
    return Prequential(
        rankers=tuple(ranked),
        user_ids=queries.user_ids,
        values=values,
        num_queries=len(queries),
        num_events=queries.num_events,
        num_users=queries.num_users,
        unknown_users={
            name: _num_unknown(folder, queries.user_ids)
            for name, folder in models.items()
        },
        unknown_movies={
            name: int((one.rank > one.corpus_size).sum())
            for name, one in ranked.items()
        },
        trained_on={name: int(ranked[name].trained_on.sum()) for name in models},
        seconds=0.0,
    )


def _num_unknown(model: Path, user_ids: Ids) -> int:
    """Counts the users who are not in a model's vocabulary."""
    path = os.path.join(model, "assets", USER_VOCABULARY)
    try:
        with open(path, "rb") as file:
            known = set(file.read().split(b"\n"))
    except FileNotFoundError:  # no model of ours: nobody knows
        return len(user_ids)
    return sum(user not in known for user in user_ids)
