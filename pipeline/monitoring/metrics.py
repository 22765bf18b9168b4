"""The metrics of retrainings, after Prometheus' naming rules.

Each metric is what is still true: the newest retraining that measured it decides. So a
retraining that failed before its evaluation leaves the last evaluation as it was, with
its time, and one that found nothing to do changes its own status and time alone. All is
computed from `retrainings.jsonl` and the serving directory, nothing from what was
written before: a lost file is whole again after the next retraining, of any outcome.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)

from pipeline.monitoring.config import MonitoringConfig
from pipeline.monitoring.live_model import LiveVersion, unix_time
from pipeline.retraining.outcome import Outcome, Status

PREFIX: Final = "two_tower_"
# It did what it was started for, or rightly nothing.
SUCCEEDED: Final = frozenset(
    {Status.PUSHED, Status.AWAITING_APPROVAL, Status.NOTHING_TO_DO}
)
_DAY: Final = 24 * 3600.0
_MIB: Final = 1 << 20
# Name of a group in `Outcome.metrics` -> label.
_MODELS: Final = {
    "candidate": "candidate",
    "baseline": "live",
    "popularity": "popularity",
}


def collect(
    history: Sequence[Outcome], live: LiveVersion | None, config: MonitoringConfig
) -> list[Metric]:
    """Returns all metrics that are known.

    Args:
      history: Outcomes of one pipeline, oldest first; not empty.
      live: What is live now.
      config: Limits, which the alerts compare with.
    """
    last = history[-1]
    gauges = _Gauges(last.pipeline)
    _add_status(gauges, history)
    _add_live(gauges, live)
    _add_training(gauges, history)
    _add_evaluation(gauges, history)
    _add_data(gauges, history)
    _add_limits(gauges, config)
    return [*gauges.families, _counts(history)]


class _Gauges:
    """Collects gauges, each with the label `pipeline`; what is no number is left out.

    Attributes:
      families: One for each gauge that has a value.
    """

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self.families: list[Metric] = []

    def add(self, name: str, text: str, value: Any) -> None:
        """Adds a gauge without further labels."""
        self.add_all(name, text, (), {(): value})

    def add_all(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        values: Mapping[tuple[str, ...], Any],
    ) -> None:
        """Adds a gauge.

        Args:
          name: Its name without prefix.
          text: Its meaning.
          labels: Names of its labels.
          values: Values of the labels -> value of the gauge.
        """
        family = GaugeMetricFamily(PREFIX + name, text, labels=[*("pipeline", *labels)])
        for key, value in values.items():
            if _is_number(value):
                family.add_metric([self._pipeline, *map(str, key)], float(value))
        if family.samples:
            self.families.append(family)


def _add_status(gauges: _Gauges, history: Sequence[Outcome]) -> None:
    last = history[-1]
    gauges.add_all(
        "retraining_status",
        "1 for the outcome of the last retraining, 0 for all others.",
        ("status",),
        {(status.value,): status is last.status for status in Status},
    )
    gauges.add(
        "retraining_timestamp_seconds",
        "When the last retraining ended, whatever its outcome.",
        _ended(last),
    )
    gauges.add(
        "retraining_success_timestamp_seconds",
        "When a retraining last ended with a pushed model, one that waits for "
        "approval, or nothing to do.",
        _newest(history, lambda o: _ended(o) if o.status in SUCCEEDED else None),
    )
    gauges.add(
        "retraining_duration_seconds",
        "Wall time of the last retraining, from start to end of the command.",
        last.seconds,
    )
    gauges.add(
        "retraining_peak_memory_bytes",
        "Peak resident memory of the last retraining that started a run.",
        _newest(history, lambda o: o.peak_rss_mb and o.peak_rss_mb * _MIB),
    )


def _counts(history: Sequence[Outcome]) -> Metric:
    family = CounterMetricFamily(
        f"{PREFIX}retrainings",
        "Retrainings by outcome, since the workspace was made.",
        labels=["pipeline", "status"],
    )
    counts = Counter(outcome.status for outcome in history)
    for status in Status:
        family.add_metric([history[-1].pipeline, status.value], counts[status])
    return family


def _add_live(gauges: _Gauges, live: LiveVersion | None) -> None:
    gauges.add(
        "live_model_present",
        "1 if a complete version can be served, else 0.",
        live is not None,
    )
    if live is None:
        return
    gauges.add_all(
        "live_model_info",
        "1 for the version that is live.",
        ("version",),
        {(live.version,): 1},
    )
    gauges.add(
        "live_model_pushed_timestamp_seconds",
        "When the live model was pushed; its age is time() minus this.",
        live.pushed,
    )


def _add_training(gauges: _Gauges, history: Sequence[Outcome]) -> None:
    listed = _newest(history, lambda o: [_text(s, "id") for s in o.steps]) or []
    seconds: dict[tuple[str, ...], Any] = {}
    for outcome in history:
        for step in outcome.steps:
            if _text(step, "state") == "done" and _text(step, "id") in listed:
                seconds[(_text(step, "id"),)] = step.get("seconds")
    gauges.add_all(
        "step_duration_seconds",
        "Wall time of each step, the last time that it ran and was not cached.",
        ("step",),
        seconds,
    )
    trained = _newest(history, lambda o: o if o.train_seconds is not None else None)
    if trained is not None:
        gauges.add(
            "training_duration_seconds",
            "Time that the last training took, without reading and export.",
            trained.train_seconds,
        )
        gauges.add(
            "training_warm_start",
            "1 if the last training started from a live model, 0 if from nothing.",
            trained.warm_start is not None,
        )


def _add_evaluation(gauges: _Gauges, history: Sequence[Outcome]) -> None:
    evaluated = _newest(
        history, lambda o: o if (o.metrics or {}).get("candidate") else None
    )
    if evaluated is None:
        return
    gauges.add(
        "evaluation_timestamp_seconds",
        "When the retraining ended that measured two_tower_model_quality.",
        _ended(evaluated),
    )
    gauges.add_all(
        "model_quality",
        "Metrics of the last evaluation: of the new model, the model that was live, "
        "and recommending what is popular, for the same users.",
        ("model", "metric"),
        {
            (model, name): value
            for group, model in _MODELS.items()
            for name, value in (evaluated.metrics.get(group) or {}).items()
        },
    )


def _add_data(gauges: _Gauges, history: Sequence[Outcome]) -> None:
    rows = _newest(history, lambda o: o.rows) or {}
    gauges.add_all(
        "rating_rows",
        "Rating rows of the last retraining that read them, by what became of them.",
        ("fate",),
        # `read` is the sum of all others.
        {(name,): value for name, value in rows.items() if name != "read"},
    )
    drift = _newest(history, lambda o: o.drift) or {}
    gauges.add_all(
        "drift_divergence",
        "Jensen-Shannon divergence (0 to 1) of the training data from those of the "
        "live model, by feature.",
        ("feature",),
        {(name,): value for name, value in drift.items()},
    )


def _add_limits(gauges: _Gauges, config: MonitoringConfig) -> None:
    gauges.add(
        "limit_success_age_seconds",
        "Alert if no retraining succeeded for longer.",
        config.max_success_age_days * _DAY,
    )
    gauges.add(
        "limit_live_model_age_seconds",
        "Alert if no model was pushed for longer.",
        config.max_live_model_age_days * _DAY,
    )
    gauges.add(
        "limit_quality_loss_ratio",
        "Alert if a new model is worse than the live one by a larger share.",
        config.max_quality_loss,
    )
    gauges.add(
        "limit_drift_divergence",
        "Alert if a feature drifted further.",
        config.max_drift,
    )


def _newest(history: Sequence[Outcome], value: Callable[[Outcome], Any]) -> Any:
    """Returns the value of the newest outcome that has one; None if none has."""
    return next((found for o in reversed(history) if (found := value(o))), None)


def _ended(outcome: Outcome) -> float | None:
    started = unix_time(outcome.started)
    if started is None or not _is_number(outcome.seconds):
        return None
    return started + outcome.seconds


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _text(step: Mapping[str, Any], key: str) -> str:
    return str(step.get(key, ""))


def metric_names() -> Iterator[str]:
    """Yields the names of all metrics that there can be, as Prometheus stores them."""
    everything = Outcome(
        status=Status.PUSHED,
        pipeline="any",
        workspace="",
        started="2000-01-01T00:00:00+00:00",
        seconds=0.0,
        metrics={group: {"any": 0.0} for group in _MODELS},
        steps=[{"id": "any", "state": "done", "seconds": 0.0}],
        rows={"train": 0},
        drift={"any": 0.0},
        train_seconds=0.0,
        peak_rss_mb=1.0,
    )
    for family in collect([everything], LiveVersion("1", 0.0), MonitoringConfig()):
        yield from dict.fromkeys(sample.name for sample in family.samples)
