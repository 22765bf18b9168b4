"""Reads what TFMA has written: metrics per slice and failed thresholds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.tfma_config import BASELINE, CANDIDATE

Values = Mapping[str, float]
# Feature -> value; empty for all users together.
SliceKey = Mapping[str, str | int | float]


@dataclasses.dataclass(frozen=True)
class SliceResult:
    """Metrics of one slice.

    Attributes:
      features: Feature -> value of the slice; empty for all users together.
      candidate: Metric -> value of the candidate, margins included.
      baseline: The same of the live model; None where there is none.
    """

    features: SliceKey
    candidate: Values
    baseline: Values | None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """TFMA's verdict.

    Attributes:
      is_valid: Whether all thresholds are met, which is the blessing.
      failed: `(slice_name(slice), metric)` of each threshold that is not met.
      missing: Slices with a threshold that no query belongs to.
    """

    is_valid: bool
    failed: frozenset[tuple[str, str]]
    missing: tuple[str, ...]


def slice_name(features: SliceKey) -> str:
    """Returns `feature=value`, as in the configuration; empty for all users."""
    return ", ".join(f"{name}={value}" for name, value in sorted(features.items()))


def read_slices(evaluation_uri: str) -> list[SliceResult]:
    """Returns all slices, all users together first, then by feature and value."""
    slices = [_slice(record) for record in tfma.load_metrics(evaluation_uri)]
    return sorted(slices, key=lambda result: sorted(map(str, result.features.items())))


def read_verdict(evaluation_uri: str) -> Verdict:
    """Returns the verdict, with what it rests on."""
    validation = tfma.load_validation_result(evaluation_uri)
    failed = {
        (slice_name(_features(of_slice.slice_key)), failure.metric_key.name)
        for of_slice in validation.metric_validations_per_slice
        for failure in of_slice.failures
    }
    missing = tuple(_spec_name(spec) for spec in validation.missing_slices)
    return Verdict(bool(validation.validation_ok), frozenset(failed), missing)


def _spec_name(spec: config_pb2.SlicingSpec) -> str:
    return ", ".join([*spec.feature_keys, slice_name(dict(spec.feature_values))])


def _slice(record: Any) -> SliceResult:
    models: dict[str, dict[str, float]] = {}
    for item in record.metric_keys_and_values:
        if not item.key.is_diff:
            # TFMA drops the name of a model that is evaluated alone.
            metrics = models.setdefault(item.key.model_name or CANDIDATE, {})
            metrics[item.key.name] = item.value.double_value.value
    return SliceResult(
        features=_features(record.slice_key),
        candidate=models.get(CANDIDATE, {}),
        baseline=models.get(BASELINE),
    )


def _features(slice_key: Any) -> dict[str, str | int | float]:
    return {
        key.column: _as_text(getattr(key, key.WhichOneof("kind")))
        for key in slice_key.single_slice_keys
    }


def _as_text(value: bytes | int | float) -> str | int | float:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
