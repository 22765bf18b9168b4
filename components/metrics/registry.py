"""From the name of a metric, as in the configuration, to the metric."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Final

from components.metrics.base import MeanMetric, WholeMetric
from components.metrics.coverage import Coverage
from components.metrics.hit_rate import HitRate
from components.metrics.interaction_recall import InteractionRecall
from components.metrics.mean_average_precision import MeanAveragePrecision
from components.metrics.mrr import Mrr
from components.metrics.ndcg import Ndcg
from components.metrics.novelty import Novelty
from components.metrics.recall import Recall

_WITH_CUTOFF: Final[dict[str, Callable[[int], MeanMetric | WholeMetric]]] = {
    "hit_rate": HitRate,
    "recall": Recall,
    "ndcg": Ndcg,
    "map": MeanAveragePrecision,
    "coverage": Coverage,
    "novelty": Novelty,
}
# Computed on request, by `eval.metrics`.
_ON_REQUEST: Final[dict[str, Callable[[int], MeanMetric | WholeMetric]]] = {
    "interaction_recall": InteractionRecall,
}


def metric_named(name: str) -> MeanMetric | WholeMetric:
    """Makes the metric called `name`.

    Args:
      name: `mrr`, `<metric>@<k>`, or `<package.module.Class>@<k>` for one's own
        `CutoffMetric` or `WholeMetric`, which must have that name.

    Raises:
      ValueError: If there is no such metric.
    """
    if name == "mrr":
        return Mrr()
    if match := re.fullmatch(r"([\w.]+)@([1-9][0-9]*)", name, re.ASCII):
        make = {**_WITH_CUTOFF, **_ON_REQUEST}.get(match[1]) or _own(match[1])
        if make:
            return make(int(match[2]))
    known = "@k, ".join([*_WITH_CUTOFF, *_ON_REQUEST])
    raise ValueError(f"There is no metric {name!r}: use mrr, {known}@k")


def _own(path: str) -> Callable[[int], MeanMetric | WholeMetric] | None:
    """Imports a metric that is not the project's."""
    module, _, attribute = path.rpartition(".")
    if not module:
        return None
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"The metric {path} cannot be imported: {error}") from error


def default_metric_names(top_k: Sequence[int]) -> list[str]:
    """Every metric at every cut-off, but for those on request."""
    return ["mrr", *(f"{base}@{k}" for base in _WITH_CUTOFF for k in top_k)]
