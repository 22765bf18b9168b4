"""All metrics of the queries of one slice, for both models and popularity at once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from components.evaluator.results import (
    COUNTS,
    Ranker,
    error_of,
    gain_of,
    lift_of,
    popularity_of,
)
from components.evaluator.thresholds import Threshold
from components.metrics import (
    AccuracyMetric,
    AggregateMetric,
    MeanMetric,
    QueryBatch,
    metric_named,
)
from components.metrics.base import FloatArray, IntArray
from components.metrics.paired import PairedSums


@dataclasses.dataclass
class State:
    """What is kept of the queries so far.

    Attributes:
      sums: Of the mean metrics, over the rankers of `Ranker`.
      aggregates: For each model, aggregate metric -> its state.
      trained_on: int32 `[models]`: held-out events that the model was trained on.
      without_held_out: Number of queries left out.
    """

    sums: PairedSums
    aggregates: list[dict[str, Any]]
    trained_on: IntArray
    without_held_out: int = 0


class Measurement:
    """Computes metrics, their comparisons and the margins of thresholds.

    The popularity baseline orders the same candidates by their number of events in the
    candidate's train split; seen movies are excluded alike and ties count against it
    alike. Source: Ferrari Dacrema, Cremonesi and Jannach, "Are We Really Making Much
    Progress?", RecSys 2019, "TopPopular".

    Args:
      names: Names of metrics, see `metric_named`.
      thresholds: Their metrics must be among `names`.
      has_baseline: Whether there is a live model.

    Raises:
      ValueError: If there is no metric of one of the names.
    """

    def __init__(
        self, names: Sequence[str], thresholds: Sequence[Threshold], has_baseline: bool
    ) -> None:
        """See the class docstring."""
        # The margin of a threshold is the same metric in every slice.
        self._thresholds = {item.name: item for item in thresholds}
        metrics = [metric_named(name) for name in names]
        self._means = [m for m in metrics if isinstance(m, MeanMetric)]
        self._aggregates = [m for m in metrics if isinstance(m, AggregateMetric)]
        self._models = [Ranker.CANDIDATE, *[Ranker.BASELINE] * has_baseline]

    def start(self) -> State:
        """Returns the state before the first query."""
        return State(
            PairedSums.zero(len(self._means), num_rankers=1 + len(self._models)),
            [{m.name: m.start() for m in self._aggregates} for _ in self._models],
            np.zeros(len(self._models), np.int32),
        )

    def add(self, state: State, *batches: QueryBatch) -> None:
        """Adds queries that all have a held-out movie.

        Args:
          state: Is changed.
          batches: The queries as ranked by the candidate and, if there is one, the same
            queries as ranked by the live model.
        """
        state.sums.add(self._values(batches))
        for model, batch in enumerate(batches):
            own = state.aggregates[model]
            own.update({m.name: m.add(own[m.name], batch) for m in self._aggregates})
            state.trained_on[model] += batch.trained_on.sum()

    def merge(self, state: State, other: State) -> None:
        """Adds the queries of another state."""
        state.sums.merge(other.sums)
        state.trained_on = state.trained_on + other.trained_on
        state.without_held_out += other.without_held_out
        for own, more in zip(state.aggregates, other.aggregates, strict=True):
            for metric in self._aggregates:
                own[metric.name] = metric.merge(own[metric.name], more[metric.name])

    def statistics(self, state: State) -> Iterator[tuple[int, str, float]]:
        """Yields model, name and value, always the same names in the same order.

        The model is 0 for the candidate and its comparisons, 1 for the live model. The
        names are those of `components.evaluator.results`. NaN where it is not defined.
        """
        for model, ranker in enumerate(self._models):
            for name, value in self._of_model(state, model, ranker):
                yield model, name, value
        for name, value in self._comparisons(state.sums):
            yield 0, name, value
        for name, threshold in self._thresholds.items():
            yield 0, name, self._margin(state, threshold)

    def _values(self, batches: Sequence[QueryBatch]) -> FloatArray:
        """float64 `[metrics, rankers, queries]`; NaN where popularity has no value."""
        candidate, *baseline = batches
        popular = candidate.by_popularity()
        undefined = np.full(len(candidate), math.nan)
        return np.array(
            [
                [
                    metric.value(candidate),
                    metric.value(popular)
                    if isinstance(metric, AccuracyMetric)
                    else undefined,
                    *(metric.value(batch) for batch in baseline),
                ]
                for metric in self._means
            ]
        ).reshape(len(self._means), 2 + len(baseline), len(candidate))

    def _of_model(
        self, state: State, model: int, ranker: Ranker
    ) -> Iterator[tuple[str, float]]:
        for index, metric in enumerate(self._means):
            own = state.sums.mean(index, ranker)
            yield metric.name, own.mean
            yield error_of(metric.name), own.standard_error
        for of_all in self._aggregates:
            reached = state.aggregates[model][of_all.name]
            yield of_all.name, of_all.value(reached)
            yield error_of(of_all.name), of_all.standard_error(reached)
        trained_on = int(state.trained_on[model])
        counts = (state.sums.count, state.without_held_out, trained_on)
        yield from zip(COUNTS, counts, strict=True)

    def _comparisons(self, sums: PairedSums) -> Iterator[tuple[str, float]]:
        """Yields comparisons of the candidate with popularity and the live model."""
        for index, metric in enumerate(self._means):
            name, others = metric.name, self._models[1:]
            if isinstance(metric, AccuracyMetric):
                others = [Ranker.POPULARITY, *others]
                popularity = sums.mean(index, Ranker.POPULARITY)
                yield popularity_of(name), popularity.mean
                yield error_of(popularity_of(name)), popularity.standard_error
                lift, error = sums.ratio(index, Ranker.CANDIDATE, Ranker.POPULARITY)
                yield lift_of(name), lift
                yield error_of(lift_of(name)), error
            for other in others:
                gain = sums.difference(index, Ranker.CANDIDATE, other)
                yield error_of(gain_of(name, other)), gain.adjusted_error

    def _margin(self, state: State, threshold: Threshold) -> float:
        for aggregate in self._aggregates:
            if aggregate.name == threshold.metric:  # it can only have a floor
                value = aggregate.value(state.aggregates[0][aggregate.name])
                return value - threshold.bound
        (index,) = (i for i, m in enumerate(self._means) if m.name == threshold.metric)
        return threshold.margin(state.sums, index, self._means[index].is_fraction)
