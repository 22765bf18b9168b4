"""From the name of a metric, as in the configuration, to the metric."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from components.metrics.base import MeanMetric
from components.metrics.coverage import Coverage
from components.metrics.hit_rate import HitRate
from components.metrics.mean_average_precision import MeanAveragePrecision
from components.metrics.mrr import Mrr
from components.metrics.ndcg import Ndcg
from components.metrics.novelty import Novelty
from components.metrics.recall import Recall

_WITH_CUTOFF: Final[dict[str, Callable[[int], MeanMetric | Coverage]]] = {
    "hit_rate": HitRate,
    "recall": Recall,
    "ndcg": Ndcg,
    "map": MeanAveragePrecision,
    "coverage": Coverage,
    "novelty": Novelty,
}


def metric_named(name: str) -> MeanMetric | Coverage:
    """Makes the metric called `name`, that is `mrr` or `<metric>@<k>`.

    Raises:
      ValueError: If there is no such metric.
    """
    if name == "mrr":
        return Mrr()
    if match := re.fullmatch(r"(\w+)@([1-9][0-9]*)", name, re.ASCII):
        if make := _WITH_CUTOFF.get(match[1]):
            return make(int(match[2]))
    raise ValueError(
        f"There is no metric {name!r}: use mrr, {'@k, '.join(_WITH_CUTOFF)}@k"
    )


def default_metric_names(top_k: Sequence[int]) -> list[str]:
    """Every metric at every cut-off."""
    return ["mrr", *(f"{base}@{k}" for base in _WITH_CUTOFF for k in top_k)]
