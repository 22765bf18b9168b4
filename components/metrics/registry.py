"""Makes metrics from their names in the configuration."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Final

from components.metrics.base import Metric
from components.metrics.coverage import Coverage
from components.metrics.genre_diversity import GenreDivergence, GenreDiversity
from components.metrics.hit_rate import HitRate
from components.metrics.index_recall import IndexRecall
from components.metrics.interaction_recall import InteractionRecall
from components.metrics.mean_average_precision import MeanAveragePrecision
from components.metrics.mrr import Mrr
from components.metrics.ndcg import Ndcg
from components.metrics.novelty import Novelty
from components.metrics.recall import Recall

_WITHOUT_CUTOFF: Final = (Mrr, IndexRecall)
_DEFAULT: Final = (
    *(HitRate, Recall, Ndcg, MeanAveragePrecision, Coverage, Novelty),
    *(GenreDiversity, GenreDivergence),
)
# Computed only where `eval.metrics` names them.
_ON_REQUEST: Final = (InteractionRecall,)


def metric_named(name: str) -> Metric:
    """Makes the metric called `name`.

    Args:
      name: `mrr`, `index_recall`, `<metric>@<k>`, or `<package.module.Class>@<k>` for
        a class of your own, whose instances must have that name.

    Raises:
      ValueError: If the name is unknown or its class cannot be imported.
    """
    for without_cutoff in _WITHOUT_CUTOFF:
        if name == without_cutoff.name:
            return without_cutoff()
    classes: dict[str, Callable[[int], Metric]]
    classes = {metric.base_name: metric for metric in (*_DEFAULT, *_ON_REQUEST)}
    if match := re.fullmatch(r"([\w.]+)@([1-9][0-9]*)", name, re.ASCII):
        path, k = match[1], int(match[2])
        module, _, attribute = path.rpartition(".")
        if module:
            try:
                classes[path] = getattr(importlib.import_module(module), attribute)
            except (ImportError, AttributeError) as error:
                raise ValueError(
                    f"The metric {path} cannot be imported: {error}"
                ) from error
        if path in classes:
            return classes[path](k)
    known = "@k, ".join(classes)
    raise ValueError(f"Unknown metric {name!r}: use mrr, index_recall, {known}@k")


def lower_is_better(name: str) -> bool:
    """Returns whether a smaller value is better, of one of the project's metrics."""
    base_name = name.partition("@")[0]
    return any(
        metric.base_name == base_name and getattr(metric, "lower_is_better", False)
        for metric in _DEFAULT
    )


def default_metric_names(top_k: Sequence[int]) -> list[str]:
    """Every metric at every cut-off, except those computed only on request."""
    at_cutoffs = [f"{m.base_name}@{k}" for m in _DEFAULT for k in top_k]
    return [Mrr.name, *at_cutoffs, IndexRecall.name]
