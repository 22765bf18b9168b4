"""The retrieval metrics as one TFMA metric, computed in one pass over the queries.

TFMA hands queries to a combiner one by one, once per slice. A combiner per metric would
pay that price some fifty times, so one combiner collects queries, ranked by the
candidate and by the live model, and hands them to the NumPy metrics in batches.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

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
from components.metrics.base import FloatArray, IntArray, Query
from components.metrics.paired import PairedSums

# Queries per call of the NumPy metrics: large enough to hide the cost of the calls.
_BATCH_SIZE: Final = 512

# A query as ranked by the candidate and, if there is one, by the live model.
RankedQuery = tuple[Query, ...]


class RetrievalMetrics(metric_types.Metric):
    """All statistics of `Measurement` as one TFMA metric of many keys.

    An evaluation of your own with TFMA can have them too:

        tfma.MetricConfig(
            class_name="RetrievalMetrics",
            module="components.evaluator.tfma_metric",
            config='{"metrics": ["ndcg@10", "mrr"]}',
        )
    """

    def __init__(
        self,
        metrics: Sequence[str],
        thresholds: Sequence[dict[str, Any]] = (),
        name: str = "retrieval_metrics",
    ) -> None:
        """Makes the metric; TFMA calls this with the `MetricConfig`'s JSON.

        Args:
          metrics: Names of metrics, see `components.metrics.metric_named`.
          thresholds: Fields of each `Threshold` whose margin is computed.
          name: TFMA requires one.
        """
        super().__init__(
            self.computations, metrics=metrics, thresholds=thresholds, name=name
        )
        self._names = metrics
        self._thresholds = [Threshold(**fields) for fields in thresholds]

    def computations(
        self, eval_config: config_pb2.EvalConfig | None = None, **_: Any
    ) -> list[metric_types.MetricComputation]:
        """Returns the one computation."""
        models = _model_names(eval_config)
        measurement = Measurement(self._names, self._thresholds, models)
        nothing = measurement.create_accumulator()
        return [
            metric_types.MetricComputation(
                keys=list(measurement.extract_output(nothing)),
                preprocessors=[_QueryPreprocessor(models)],
                combiner=measurement,
            )
        ]


def _model_names(eval_config: config_pb2.EvalConfig | None) -> list[str]:
    """Returns TFMA's names of the candidate and, if there is one, the live model."""
    specs = list(eval_config.model_specs) if eval_config else []
    # TFMA has no name for a model that is evaluated alone.
    names = [s.name for s in sorted(specs, key=lambda spec: spec.is_baseline)]
    return names if len(names) > 1 else [""]


class _QueryPreprocessor(metric_types.Preprocessor):
    """Takes from an example's extracts what the metrics read."""

    def __init__(self, models: Sequence[str]) -> None:
        super().__init__(name="query_of_" + "_and_".join(models))
        self._models = models

    def process(self, extracts: dict[str, Any]) -> Iterator[RankedQuery]:
        outputs = extracts[constants.PREDICTIONS_KEY]
        yield tuple(_query(outputs[m] if m else outputs) for m in self._models)


def _query(outputs: dict[str, Any]) -> Query:
    # An older live model may lack these outputs. It searches all movies.
    unknown = {
        "trained_on": np.zeros_like(outputs["rank"]),
        "index_recall": np.ones_like(outputs["corpus_size"], np.float32),
        **dict.fromkeys(
            ("genre_diversity", "genre_divergence"),
            np.full_like(outputs["top_ids"], np.nan, np.float32),
        ),
    }
    found = {**unknown, **outputs}
    return Query(*(np.ravel(found[name]) for name in Query._fields))


@dataclasses.dataclass
class State:
    """What is kept of the queries so far.

    Attributes:
      sums: Of the mean metrics, over the rankers of `Ranker`.
      aggregates: For each model, aggregate metric -> its state.
      trained_on: int32 `[models]`: held-out events that the model was trained on.
      without_held_out: Number of queries left out.
      pending: Queries that are not in `sums`, `aggregates` and `trained_on` yet.
    """

    sums: PairedSums
    aggregates: list[dict[str, Any]]
    trained_on: IntArray
    without_held_out: int = 0
    pending: list[RankedQuery] = dataclasses.field(default_factory=list)


class Measurement(beam.CombineFn):
    """Computes metrics, their comparisons and the margins of thresholds.

    The popularity baseline orders the same candidates by their number of events in the
    candidate's train split; seen movies are excluded alike and ties count against it
    alike. Source: Ferrari Dacrema, Cremonesi and Jannach, "Are We Really Making Much
    Progress?", RecSys 2019, "TopPopular".

    Args:
      names: Names of metrics, see `metric_named`.
      thresholds: Their metrics must be among `names`.
      models: TFMA's names of the candidate and, if there is one, the live model.

    Raises:
      ValueError: If there is no metric of one of the names.
    """

    def __init__(
        self,
        names: Sequence[str],
        thresholds: Sequence[Threshold],
        models: Sequence[str],
    ) -> None:
        # The margin of a threshold is the same metric in every slice.
        self._thresholds = {item.name: item for item in thresholds}
        metrics = [metric_named(name) for name in names]
        self._means = [m for m in metrics if isinstance(m, MeanMetric)]
        self._aggregates = [m for m in metrics if isinstance(m, AggregateMetric)]
        self._models = models

    def create_accumulator(self) -> State:
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

    def add_input(self, state: State, query: RankedQuery) -> State:
        """Adds a query, which is left out if it has no held-out movie."""
        if not query[0].rank.any():
            state.without_held_out += 1
            return state
        state.pending.append(query)
        return self.compact(state) if len(state.pending) >= _BATCH_SIZE else state

    def compact(self, state: State) -> State:
        """Adds the pending queries."""
        if state.pending:
            self.add(state, *map(QueryBatch.of, zip(*state.pending, strict=True)))
            state.pending = []
        return state

    def merge_accumulators(self, states: Iterable[State]) -> State:
        """Returns the state of the queries of all states."""
        merged = self.create_accumulator()
        for state in map(self.compact, states):
            merged.sums.merge(state.sums)
            merged.trained_on += state.trained_on
            merged.without_held_out += state.without_held_out
            for own, more in zip(merged.aggregates, state.aggregates, strict=True):
                for metric in self._aggregates:
                    own[metric.name] = metric.merge(own[metric.name], more[metric.name])
        return merged

    def extract_output(self, state: State) -> dict[metric_types.MetricKey, float]:
        """Returns all statistics, always of the same keys in the same order.

        Their names are those of `components.evaluator.results`. Comparisons and margins
        belong to the candidate. NaN where something is not defined.
        """
        self.compact(state)
        found = {
            self._key(name, model): value
            for model in range(len(self._models))
            for name, value in self._of_model(state, model)
        }
        for name, value in self._comparisons(state.sums):
            found[self._key(name)] = value
        for name, threshold in self._thresholds.items():
            found[self._key(name)] = self._margin(state, threshold)
        return found

    def _key(self, name: str, model: int = 0) -> metric_types.MetricKey:
        # As TFMA looks up the thresholds of a `MetricsSpec`, see `to_tfma`.
        return metric_types.MetricKey(name, self._models[model], example_weighted=None)

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

    def _of_model(self, state: State, model: int) -> Iterator[tuple[str, float]]:
        ranker = (Ranker.CANDIDATE, Ranker.BASELINE)[model]
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
            name, others = metric.name, [Ranker.BASELINE] * (len(self._models) - 1)
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
