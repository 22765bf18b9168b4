"""What an evaluation measures in one slice: names and values."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Final

from components.evaluator.config import EvalConfig
from components.metrics import default_metric_names

# Counts of a slice: measured queries, queries left out because they have no held-out
# movie, and held-out events that the model was trained on.
QUERIES: Final = "queries"
QUERIES_WITHOUT_HELD_OUT: Final = "queries_without_held_out"
TRAINED_ON: Final = "held_out_events_trained_on"
COUNTS: Final = (QUERIES, QUERIES_WITHOUT_HELD_OUT, TRAINED_ON)


class Ranker(enum.IntEnum):
    """Who ranks the queries: their index in `PairedSums`."""

    CANDIDATE = 0
    POPULARITY = 1
    BASELINE = 2


def metric_names(config: EvalConfig) -> list[str]:
    """Returns the names of all metrics of an evaluation, each once."""
    names = [*default_metric_names(config.top_k), *config.metrics]
    return list(dict.fromkeys(names))


def popularity_of(metric: str) -> str:
    """Returns the name of the metric of the popularity ranking."""
    return f"popularity/{metric}"


def lift_of(metric: str) -> str:
    """Returns the name of the ratio candidate / popularity."""
    return f"popularity_lift/{metric}"


def gain_of(metric: str, over: Ranker) -> str:
    """Returns the name of the difference candidate - popularity or live model."""
    return f"{'live' if over is Ranker.BASELINE else 'popularity'}_gain/{metric}"


def error_of(statistic: str) -> str:
    """Returns the name of a statistic's standard error."""
    return f"{statistic}/standard_error"


@dataclasses.dataclass(frozen=True)
class SliceResult:
    """Metrics of one slice.

    Attributes:
      features: Feature -> value of the slice; empty for all users together.
      candidate: Statistic -> value of the candidate and its comparisons.
      baseline: The same of the live model; None where there is none.
    """

    features: Mapping[str, str | int | float]
    candidate: Mapping[str, float]
    baseline: Mapping[str, float] | None

    @property
    def name(self) -> str:
        """`feature=value`, as in the configuration; empty for all users."""
        return ", ".join(f"{n}={value}" for n, value in sorted(self.features.items()))
