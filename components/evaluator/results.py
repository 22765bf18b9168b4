"""Reads what TFMA has written: metrics per slice and failed thresholds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow_model_analysis as tfma

from components.evaluator.eval_config import BASELINE, CANDIDATE

Values = Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class SliceResult:
    """Metrics of one slice.

    Attributes:
      features: Feature -> value of the slice; empty for all users together.
      candidate: Metric -> value of the candidate.
      baseline: The same of the live model; None where there is none.
    """

    features: Mapping[str, str | int | float]
    candidate: Values
    baseline: Values | None


def read_slices(evaluation_uri: str) -> list[SliceResult]:
    """Returns all slices, all users together first, then by feature and value."""
    slices = [_slice(record) for record in tfma.load_metrics(evaluation_uri)]
    return sorted(slices, key=lambda result: sorted(map(str, result.features.items())))


def failed_thresholds(evaluation_uri: str) -> set[tuple[str, bool]]:
    """Returns metric and whether the change (not the value) failed, over all users."""
    validation = tfma.load_validation_result(evaluation_uri)
    return {
        (failure.metric_key.name, failure.metric_key.is_diff)
        for of_slice in validation.metric_validations_per_slice
        if not of_slice.slice_key.single_slice_keys
        for failure in of_slice.failures
    }


def is_valid(evaluation_uri: str) -> bool:
    """Returns TFMA's verdict over all thresholds, which is the blessing."""
    return bool(tfma.load_validation_result(evaluation_uri).validation_ok)


def _slice(record: Any) -> SliceResult:
    models: dict[str, dict[str, float]] = {}
    for item in record.metric_keys_and_values:
        if not item.key.is_diff:
            # TFMA drops the name of a model that is evaluated alone.
            metrics = models.setdefault(item.key.model_name or CANDIDATE, {})
            metrics[item.key.name] = item.value.double_value.value
    return SliceResult(
        features={
            key.column: _as_text(getattr(key, key.WhichOneof("kind")))
            for key in record.slice_key.single_slice_keys
        },
        candidate=models.get(CANDIDATE, {}),
        baseline=models.get(BASELINE),
    )


def _as_text(value: bytes | int | float) -> str | int | float:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
