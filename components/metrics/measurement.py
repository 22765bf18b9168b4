"""All metrics of the queries of one slice, for both models and popularity at once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from components.metrics.base import (
    AccuracyMetric,
    FloatArray,
    IntArray,
    MeanMetric,
    QueryBatch,
    WholeMetric,
)
from components.metrics.margins import Rule, rule_named
from components.metrics.moments import BASELINE, CANDIDATE, Moments
from components.metrics.popularity_lift import popularity_lift
from components.metrics.registry import metric_named

# Results that count: queries that were measured, those left out for want of a held-out
# movie, and held-out events that the model was trained on.
QUERIES: Final = "queries"
QUERIES_WITHOUT_HELD_OUT: Final = "queries_without_held_out"
TRAINED_ON: Final = "held_out_events_trained_on"
COUNTS: Final = (QUERIES, QUERIES_WITHOUT_HELD_OUT, TRAINED_ON)

POPULARITY_PREFIX: Final = "popularity/"
LIFT_PREFIX: Final = "popularity_lift/"
# Differences have no name of their own, only an error: candidate - popularity, and
# candidate - live model.
POPULARITY_GAIN_PREFIX: Final = "popularity_gain/"
LIVE_GAIN_PREFIX: Final = "live_gain/"
ERROR_SUFFIX: Final = "/standard_error"


class Rankings(NamedTuple):
    """The same queries as ranked by the candidate and, if there is one, the live model.

    Popularity's ranking is the candidate's `popularity_rank`, so it is that of the
    candidate's train split.
    """

    candidate: QueryBatch
    baseline: QueryBatch | None


class Result(NamedTuple):
    """One number.

    Attributes:
      is_baseline: Whether it is the live model's, not the candidate's.
      name: Name of the metric.
      value: NaN where it is not defined.
    """

    is_baseline: bool
    name: str
    value: float


@dataclasses.dataclass
class State:
    """What is kept of the queries so far.

    Attributes:
      moments: Of the mean metrics.
      whole: `[models][metrics]`, states of the metrics that are no means.
      trained_on: `[models]`: see `TRAINED_ON`.
      without_held_out: See `QUERIES_WITHOUT_HELD_OUT`.
    """

    moments: Moments
    whole: list[list[Any]]
    trained_on: IntArray
    without_held_out: int = 0


class Measurement:
    """Computes metrics and margins by their names.

    Args:
      names: Names of metrics (`catalogue.metric_named`) and of margins (`Rule.name`);
        a margin's metric must be among the former.
      has_baseline: Whether there is a live model.

    Raises:
      ValueError: If a name is of neither.
    """

    def __init__(self, names: Sequence[str], has_baseline: bool) -> None:
        """See the class docstring."""
        self._rules = [rule for name in names if (rule := rule_named(name))]
        metrics = [
            metric_named(name)
            for name in names
            if name != TRAINED_ON and not rule_named(name)
        ]
        self._means = [m for m in metrics if isinstance(m, MeanMetric)]
        self._wholes = [m for m in metrics if isinstance(m, WholeMetric)]
        self._models = [CANDIDATE, BASELINE] if has_baseline else [CANDIDATE]

    def start(self) -> State:
        """The state before the first query."""
        return State(
            Moments.zero(len(self._means), num_rankers=1 + len(self._models)),
            [[metric.start() for metric in self._wholes] for _ in self._models],
            np.zeros(len(self._models), np.int32),
        )

    def add(self, state: State, rankings: Rankings) -> None:
        """Adds queries, all of which have a held-out movie."""
        batches = [batch for batch in rankings if batch is not None]
        state.moments.add(self._values(batches))
        for model, batch in enumerate(batches):
            state.whole[model] = [
                metric.add(own, batch)
                for metric, own in zip(self._wholes, state.whole[model], strict=True)
            ]
            state.trained_on[model] += batch.trained_on.sum()

    def merge(self, state: State, other: State) -> None:
        """Adds what another state has seen."""
        state.moments.merge(other.moments)
        state.trained_on = state.trained_on + other.trained_on
        state.without_held_out += other.without_held_out
        for model, whole in enumerate(other.whole):
            state.whole[model] = [
                metric.merge(mine, theirs)
                for metric, mine, theirs in zip(
                    self._wholes, state.whole[model], whole, strict=True
                )
            ]

    def results(self, state: State) -> Iterator[Result]:
        """Yields every number, always the same names in the same order."""
        for place, ranker in enumerate(self._models):
            own = state.whole[place], int(state.trained_on[place])
            for name, value in self._of_model(state, ranker, *own):
                yield Result(ranker == BASELINE, name, value)
        for index, metric in enumerate(self._means):
            for name, value in self._compared(state.moments, index, metric):
                yield Result(False, name, value)
        for rule in self._rules:
            yield Result(False, rule.name, self._margin(state, rule))

    def _values(self, batches: Sequence[QueryBatch]) -> FloatArray:
        """`[metrics, rankers, queries]`; NaN for popularity's where it has none."""
        candidate, *baseline = batches
        popular = candidate.by_popularity()
        nothing = np.full(len(candidate), math.nan)
        return np.array(
            [
                [
                    metric.value(candidate),
                    metric.value(popular)
                    if isinstance(metric, AccuracyMetric)
                    else nothing,
                    *(metric.value(batch) for batch in baseline),
                ]
                for metric in self._means
            ]
        ).reshape(len(self._means), 2 + len(baseline), len(candidate))

    def _of_model(
        self, state: State, ranker: int, whole: list[Any], trained_on: int
    ) -> Iterator[tuple[str, float]]:
        weights = [float(place == ranker) for place in range(ranker + 1)]
        for index, metric in enumerate(self._means):
            own = state.moments.contrast(index, weights)
            yield metric.name, own.mean
            yield metric.name + ERROR_SUFFIX, own.standard_error
        for of_all, state_of in zip(self._wholes, whole, strict=True):
            yield of_all.name, of_all.value(state_of)
            yield of_all.name + ERROR_SUFFIX, of_all.standard_error(state_of)
        counts = state.moments.count, state.without_held_out, trained_on
        yield from zip(COUNTS, counts, strict=True)

    def _compared(
        self, moments: Moments, index: int, metric: MeanMetric
    ) -> Iterator[tuple[str, float]]:
        """The candidate against popularity and the live model."""
        name = metric.name
        if isinstance(metric, AccuracyMetric):
            popularity = moments.contrast(index, [0.0, 1.0])
            yield POPULARITY_PREFIX + name, popularity.mean
            yield POPULARITY_PREFIX + name + ERROR_SUFFIX, popularity.standard_error
            lift = popularity_lift(moments, index)
            yield LIFT_PREFIX + name, lift.value
            yield LIFT_PREFIX + name + ERROR_SUFFIX, lift.standard_error
            gain = moments.contrast(index, [1.0, -1.0])
            yield POPULARITY_GAIN_PREFIX + name + ERROR_SUFFIX, gain.cautious_error
        if BASELINE in self._models:
            change = moments.contrast(index, [1.0, 0.0, -1.0])
            yield LIVE_GAIN_PREFIX + name + ERROR_SUFFIX, change.cautious_error

    def _margin(self, state: State, rule: Rule) -> float:
        for metric, state_of in zip(self._wholes, state.whole[0], strict=True):
            if metric.name == rule.metric:  # only a floor: it is no mean over users
                return metric.value(state_of) - rule.bound
        (index,) = (i for i, m in enumerate(self._means) if m.name == rule.metric)
        return rule.margin(state.moments, index, self._means[index].is_fraction)
