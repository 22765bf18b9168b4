"""Compares distributions: with those of the live model's data or of another split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.data_gate.divergence import FeatureStatistics, divergence
from components.data_gate.findings import Finding
from trainer.errors import UserError

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList


@dataclass(frozen=True)
class Comparison:
    """Two sets of statistics of the same features, and how far apart they may be.

    Attributes:
      setting: Name of the setting with the bounds, such as `data.max_drift`.
      split: Name of the split that is checked.
      statistics: Its statistics.
      reference_name: What it is compared with, for messages.
      reference: Statistics of that.
      bounds: Feature -> divergence at most, from 0 to 1.
    """

    setting: str
    split: str
    statistics: Statistics
    reference_name: str
    reference: Statistics
    bounds: Mapping[str, float]


def compare(
    comparison: Comparison, schema: schema_pb2.Schema
) -> tuple[dict[str, float], list[Finding]]:
    """Measures the features that have a bound.

    Args:
      comparison: What is compared.
      schema: Has the domains of the features.

    Returns:
      Feature -> divergence, and what is beyond its bound.

    Raises:
      UserError: A bound is given for a feature that neither side has.
    """
    own, other = _by_name(comparison.statistics), _by_name(comparison.reference)
    in_schema = {feature.name: feature for feature in schema.feature}
    measured: dict[str, float] = {}
    findings = []
    for name, bound in sorted(comparison.bounds.items()):
        count, reference_count = _num_values(own, name), _num_values(other, name)
        if not count and not reference_count:
            raise UserError(
                f"{comparison.setting} names {name}, which neither the split "
                f"{comparison.split} nor {comparison.reference_name} has",
                f"Remove it: --set {comparison.setting}.{name}=null.",
            )
        if not count or not reference_count:
            here = f"{count:,} values here and {reference_count:,} there"
            findings.append(_finding(comparison, name, here, count))
            continue
        measured[name] = divergence(own[name], other[name], in_schema[name])
        # `not <=`, so that NaN is beyond every bound.
        if not measured[name] <= bound:
            found = f"{measured[name]:.3f}"
            findings.append(_finding(comparison, name, found, count))
    return measured, findings


def _finding(comparison: Comparison, name: str, found: str, count: int) -> Finding:
    expected = (
        f"be distributed as in {comparison.reference_name}, with a divergence of at "
        f"most {comparison.bounds[name]:g}"
    )
    return Finding(
        split=comparison.split,
        feature=name,
        expected=expected,
        found=found,
        count=count,
        remedy="Fix the input; if the change is meant, accept it with --set "
        f"{comparison.setting}.{name}=null.",
    )


def _by_name(statistics: Statistics) -> dict[str, FeatureStatistics]:
    return {
        feature.path.step[0]: feature
        for dataset in statistics.datasets
        for feature in dataset.features
    }


def _num_values(features: Mapping[str, FeatureStatistics], name: str) -> int:
    """Values of the feature in all rows together; 0 where there is no such feature."""
    if name not in features:
        return 0
    statistics = getattr(features[name], features[name].WhichOneof("stats"))
    return int(statistics.common_stats.tot_num_values)
