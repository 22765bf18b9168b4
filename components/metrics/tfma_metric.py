"""Retrieval metrics for TFMA, all of them in one pass over the queries.

TFMA hands queries to a combiner one by one, once per slice. A combiner per metric
would pay that price some fifty times, so every `RetrievalMetric` of an evaluation asks
for the same computation, which TFMA then runs once: it gathers queries, ranked by the
candidate and by the live model, and hands them to the NumPy metrics in batches.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.metrics.base import Query, QueryBatch
from components.metrics.measurement import Measurement, Rankings, Result, State

# Queries per call of the NumPy metrics: large enough to hide the cost of the calls.
_BATCH_SIZE: Final = 512


class RetrievalMetric(metric_types.Metric):
    """The TFMA metric of a given name, see `Measurement`."""

    def __init__(self, name: str) -> None:
        """Makes the metric; TFMA calls this with the `MetricConfig`'s JSON."""
        super().__init__(self.computations, name=name)

    def computations(
        self,
        eval_config: config_pb2.EvalConfig | None = None,
        **_: Any,
    ) -> list[metric_types.MetricComputation]:
        """One computation, the same for all metrics of the evaluation."""
        names = _names(eval_config) or [self.name]
        models = _Models.of(eval_config)
        measurement = Measurement(names, models.baseline is not None)
        results = measurement.results(measurement.start())
        keys = [_key(result, models) for result in results]
        return [
            # TFMA drops duplicates by keys and class name.
            metric_types.MetricComputation(
                keys=keys,
                preprocessors=[_QueryPreprocessor(models)],
                combiner=_QueryCombineFn(measurement, keys),
            )
        ]


def metric_config(name: str) -> config_pb2.MetricConfig:
    """How TFMA's configuration asks for the metric `name`."""
    return config_pb2.MetricConfig(
        class_name=RetrievalMetric.__name__,
        module=RetrievalMetric.__module__,
        config=json.dumps({"name": name}),
    )


def metric_name(config: config_pb2.MetricConfig) -> str:
    """Returns the name that `metric_config` was made of."""
    return str(json.loads(config.config)["name"])


def _names(eval_config: config_pb2.EvalConfig | None) -> list[str]:
    """Names of all retrieval metrics of an evaluation, in their order, each once."""
    if eval_config is None:
        return []
    configs = [config for spec in eval_config.metrics_specs for config in spec.metrics]
    names = [
        metric_name(config)
        for config in configs
        if config.class_name == RetrievalMetric.__name__
    ]
    return list(dict.fromkeys(names))


class _Models(NamedTuple):
    """Names under which TFMA keeps the models' outputs.

    Attributes:
      candidate: Empty where it is evaluated alone: TFMA drops its name.
      baseline: None where there is none.
    """

    candidate: str
    baseline: str | None

    @classmethod
    def of(cls, eval_config: config_pb2.EvalConfig | None) -> _Models:
        specs = list(eval_config.model_specs) if eval_config else []
        baseline = next((spec.name for spec in specs if spec.is_baseline), None)
        if baseline is None:
            return cls("", None)
        return cls(next(s.name for s in specs if not s.is_baseline), baseline)


def _key(result: Result, models: _Models) -> metric_types.MetricKey:
    model = models.baseline if result.is_baseline else models.candidate
    return metric_types.MetricKey(name=result.name, model_name=model)


class _RankedQuery(NamedTuple):
    """One query as both models rank it."""

    candidate: Query
    baseline: Query | None


class _QueryPreprocessor(metric_types.Preprocessor):
    """Takes from an example's extracts what the metrics need of the models."""

    def __init__(self, models: _Models) -> None:
        super().__init__(name=f"query_of_{models.candidate}_and_{models.baseline}")
        self._models = models

    def process(self, extracts: dict[str, Any]) -> Iterator[_RankedQuery]:
        outputs = extracts[constants.PREDICTIONS_KEY]
        if self._models.baseline is None:
            yield _RankedQuery(_query(outputs), None)
        else:
            yield _RankedQuery(
                _query(outputs[self._models.candidate]),
                _query(outputs[self._models.baseline]),
            )


def _query(outputs: dict[str, Any]) -> Query:
    # A live model may come from before this output.
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
        if not element.candidate.rank.any():
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
        results = self._measurement.results(accumulator.state)
        values = [result.value for result in results]
        return dict(zip(self._keys, values, strict=True))

    def _add_pending(self, accumulator: _Accumulator) -> None:
        if not accumulator.pending:
            return
        candidate, baseline = zip(*accumulator.pending, strict=True)
        accumulator.pending = []
        is_alone = baseline[0] is None
        rankings = Rankings(
            QueryBatch.of(candidate), None if is_alone else QueryBatch.of(baseline)
        )
        self._measurement.add(accumulator.state, rankings)
