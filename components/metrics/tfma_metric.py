"""Retrieval metrics for TFMA, all of them in one pass over the queries.

TFMA hands queries to a combiner one by one, once per slice. A combiner per metric
would pay that price some fifty times, so every `RetrievalMetric` of an evaluation asks
for the same computation, which TFMA then runs once: it gathers queries and hands them
to the NumPy metrics in batches.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.metrics.base import Metric, Query, QueryBatch
from components.metrics.catalogue import metric_named

# Results that count the queries: measured, and left out for want of a held-out movie.
QUERIES: Final = "queries"
QUERIES_WITHOUT_HELD_OUT: Final = "queries_without_held_out"

# Queries per call of the NumPy metrics: large enough to hide the cost of the calls.
_BATCH_SIZE: Final = 512


class RetrievalMetric(metric_types.Metric):
    """The TFMA metric of a given name, see `catalogue.metric_named`."""

    def __init__(self, name: str) -> None:
        """Makes the metric; TFMA calls this with the `MetricConfig`'s JSON."""
        super().__init__(self.computations, name=name)

    def computations(
        self,
        eval_config: config_pb2.EvalConfig | None = None,
        model_names: Sequence[str] | None = None,
        **_: Any,
    ) -> list[metric_types.MetricComputation]:
        """One computation per model, the same for all metrics of the evaluation."""
        metrics = [metric_named(name) for name in _names(eval_config) or [self.name]]
        return [_computation(metrics, model) for model in model_names or [""]]


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


def _computation(
    metrics: Sequence[Metric], model_name: str
) -> metric_types.MetricComputation:
    """All metrics of one model. TFMA drops duplicates by keys and class name."""
    names = [name for metric in metrics for name in metric.names]
    names += [QUERIES, QUERIES_WITHOUT_HELD_OUT]
    keys = [metric_types.MetricKey(name=n, model_name=model_name) for n in names]
    return metric_types.MetricComputation(
        keys=keys,
        preprocessors=[_QueryPreprocessor(model_name)],
        combiner=_QueryCombineFn(metrics, keys),
    )


class _QueryPreprocessor(metric_types.Preprocessor):
    """Takes from an example's extracts what the metrics need of one model."""

    def __init__(self, model_name: str) -> None:
        super().__init__(name=f"query_of_{model_name}")
        self._model_name = model_name

    def process(self, extracts: dict[str, Any]) -> Iterator[Query]:
        outputs = extracts[constants.PREDICTIONS_KEY]
        if self._model_name:
            outputs = outputs[self._model_name]
        yield Query(*(np.ravel(outputs[name]) for name in Query._fields))


@dataclasses.dataclass
class _Accumulator:
    """The metrics' states, and the queries that have not been added to them yet."""

    states: list[Any]
    num_queries: int = 0
    num_without_held_out: int = 0
    pending: list[Query] = dataclasses.field(default_factory=list)


class _QueryCombineFn(beam.CombineFn):
    """Computes all metrics of one model over the queries of one slice."""

    def __init__(
        self, metrics: Sequence[Metric], keys: Sequence[metric_types.MetricKey]
    ) -> None:
        self._metrics = metrics
        self._keys = keys

    def create_accumulator(self) -> _Accumulator:
        return _Accumulator([metric.start() for metric in self._metrics])

    def add_input(self, accumulator: _Accumulator, element: Query) -> _Accumulator:
        if not element.rank.any():
            accumulator.num_without_held_out += 1
            return accumulator
        accumulator.num_queries += 1
        accumulator.pending.append(element)
        if len(accumulator.pending) >= _BATCH_SIZE:
            self._add_pending(accumulator)
        return accumulator

    def merge_accumulators(self, accumulators: Iterator[_Accumulator]) -> _Accumulator:
        merged = self.create_accumulator()
        for other in accumulators:
            self._add_pending(other)
            merged.num_queries += other.num_queries
            merged.num_without_held_out += other.num_without_held_out
            merged.states = [
                metric.merge(mine, theirs)
                for metric, mine, theirs in zip(
                    self._metrics, merged.states, other.states, strict=True
                )
            ]
        return merged

    def compact(self, accumulator: _Accumulator) -> _Accumulator:
        self._add_pending(accumulator)
        return accumulator

    def extract_output(
        self, accumulator: _Accumulator
    ) -> dict[metric_types.MetricKey, float]:
        self._add_pending(accumulator)
        values: list[float] = []
        for metric, state in zip(self._metrics, accumulator.states, strict=True):
            values.extend(metric.results(state, accumulator.num_queries))
        values += [accumulator.num_queries, accumulator.num_without_held_out]
        return dict(zip(self._keys, values, strict=True))

    def _add_pending(self, accumulator: _Accumulator) -> None:
        if not accumulator.pending:
            return
        batch = _batch(accumulator.pending)
        accumulator.pending = []
        accumulator.states = [
            metric.add(state, batch)
            for metric, state in zip(self._metrics, accumulator.states, strict=True)
        ]


def _batch(queries: Sequence[Query]) -> QueryBatch:
    """Stacks queries, padding their held-out movies to the longest list."""
    longest = max(len(query.rank) for query in queries)
    rank = np.zeros((2, len(queries), longest), np.int32)
    for row, query in enumerate(queries):
        rank[0, row, : len(query.rank)] = query.rank
        rank[1, row, : len(query.rank)] = query.popularity_rank
    return QueryBatch(
        rank=rank[0],
        popularity_rank=rank[1],
        top_ids=np.stack([query.top_ids for query in queries]),
        top_self_information=np.stack([q.top_self_information for q in queries]),
        corpus_size=np.concatenate([query.corpus_size for query in queries]),
    )
