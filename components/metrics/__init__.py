"""Metrics of ranked movies, one file each, in NumPy alone.

`metric_named("ndcg@10")` makes a metric from its name in the configuration. To add a
metric, subclass `CutoffMetric`, `MeanMetric` or `AggregateMetric` and name the class by
its dotted path: `eval.metrics: ["my_package.metrics.MyMetric@10"]`.
"""

from components.metrics.base import (
    AccuracyMetric,
    AggregateMetric,
    CutoffMetric,
    MeanMetric,
    QueryBatch,
    Ranks,
    WithCutoff,
)
from components.metrics.registry import (
    default_metric_names,
    lower_is_better,
    metric_named,
)

__all__ = [
    "AccuracyMetric",
    "AggregateMetric",
    "CutoffMetric",
    "MeanMetric",
    "QueryBatch",
    "Ranks",
    "WithCutoff",
    "default_metric_names",
    "lower_is_better",
    "metric_named",
]
