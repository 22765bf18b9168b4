"""The retrieval metrics as one TFMA metric, computed in one pass over the queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.measurement import Measurement, RankedQuery
from components.evaluator.thresholds import Threshold
from components.metrics.base import Query


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
    # An older live model may lack this output.
    unknown = {"trained_on": np.zeros_like(outputs["rank"])}
    found = {**unknown, **outputs}
    return Query(*(np.ravel(found[name]) for name in Query._fields))
