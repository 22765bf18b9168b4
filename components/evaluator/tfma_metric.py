"""The retrieval metrics as one TFMA metric, computed in one pass over the queries.

TFMA hands queries to a combiner one by one, once per slice. A combiner per metric would
pay that price some fifty times, so one combiner collects queries, ranked by the
candidate and by the live model, and hands them to the NumPy metrics in batches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.measurement import Measurement, State
from components.evaluator.thresholds import Threshold
from components.metrics.base import Query, QueryBatch

# Queries per call of the NumPy metrics: large enough to hide the cost of the calls.
_BATCH_SIZE: Final = 512


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
        measurement = Measurement(self._names, self._thresholds, len(models) > 1)
        keys = [
            # As TFMA looks up the thresholds of a `MetricsSpec`, see `to_tfma`.
            metric_types.MetricKey(name, models[model], example_weighted=None)
            for model, name, _ in measurement.statistics(measurement.start())
        ]
        return [
            metric_types.MetricComputation(
                keys=keys,
                preprocessors=[_QueryPreprocessor(models)],
                combiner=_QueryCombineFn(measurement, keys),
            )
        ]


def _model_names(eval_config: config_pb2.EvalConfig | None) -> list[str]:
    """Returns TFMA's names of the candidate and, if there is one, the live model."""
    specs = list(eval_config.model_specs) if eval_config else []
    # TFMA has no name for a model that is evaluated alone.
    names = [s.name for s in sorted(specs, key=lambda spec: spec.is_baseline)]
    return names if len(names) > 1 else [""]


# A query as ranked by the candidate and, if there is one, by the live model.
_RankedQuery = tuple[Query, ...]


class _QueryPreprocessor(metric_types.Preprocessor):
    """Takes from an example's extracts what the metrics read."""

    def __init__(self, models: Sequence[str]) -> None:
        super().__init__(name="query_of_" + "_and_".join(models))
        self._models = models

    def process(self, extracts: dict[str, Any]) -> Iterator[_RankedQuery]:
        outputs = extracts[constants.PREDICTIONS_KEY]
        yield tuple(_query(outputs[m] if m else outputs) for m in self._models)


def _query(outputs: dict[str, Any]) -> Query:
    # An older live model may lack this output.
    unknown = {"trained_on": np.zeros_like(outputs["rank"])}
    found = {**unknown, **outputs}
    return Query(*(np.ravel(found[name]) for name in Query._fields))


@dataclasses.dataclass
class _Accumulator:
    """The measurement's state, and queries that have not been added to it yet."""

    state: State
    pending: list[_RankedQuery] = dataclasses.field(default_factory=list)


class _QueryCombineFn(beam.CombineFn):
    """Computes all metrics over the queries of one slice."""

    def __init__(
        self, measurement: Measurement, keys: Sequence[metric_types.MetricKey]
    ) -> None:
        self._measurement = measurement
        self._keys = keys

    def create_accumulator(self) -> _Accumulator:
        return _Accumulator(self._measurement.start())

    def add_input(
        self, accumulator: _Accumulator, element: _RankedQuery
    ) -> _Accumulator:
        if not element[0].rank.any():
            accumulator.state.without_held_out += 1
            return accumulator
        accumulator.pending.append(element)
        if len(accumulator.pending) >= _BATCH_SIZE:
            self._add_pending(accumulator)
        return accumulator

    def merge_accumulators(self, accumulators: Iterator[_Accumulator]) -> _Accumulator:
        merged = self.create_accumulator()
        for other in accumulators:
            self._add_pending(other)
            self._measurement.merge(merged.state, other.state)
        return merged

    def compact(self, accumulator: _Accumulator) -> _Accumulator:
        self._add_pending(accumulator)
        return accumulator

    def extract_output(
        self, accumulator: _Accumulator
    ) -> dict[metric_types.MetricKey, float]:
        self._add_pending(accumulator)
        statistics = self._measurement.statistics(accumulator.state)
        values = [value for _, _, value in statistics]
        return dict(zip(self._keys, values, strict=True))

    def _add_pending(self, accumulator: _Accumulator) -> None:
        if not accumulator.pending:
            return
        batches = map(QueryBatch.of, zip(*accumulator.pending, strict=True))
        self._measurement.add(accumulator.state, *batches)
        accumulator.pending = []
