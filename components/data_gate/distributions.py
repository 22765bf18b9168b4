"""Whether values are distributed as they were, or as they are in another split.

TFDV measures by the Jensen-Shannon divergence (base 2): 0 for equal distributions, 1
for those that share no value. It does so for numbers, by their histograms, and for
strings, by the counts of the thousand most frequent ones. The alternative for strings,
L-infinity, looks at the one value that changed most: of thousands of movies each is
less than a percent, so it hardly tells another edition's ids from next month's ratings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.data_gate.findings import Finding
from pipeline.errors import UserError

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList


@dataclass(frozen=True)
class Comparison:
    """Two distributions of the same features, and how far they may be apart.

    Attributes:
      setting: Name of the setting with the bounds, such as `data.max_drift`.
      split: Name of the split that is judged.
      statistics: Its statistics.
      reference_name: What it is compared with, in words.
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
      schema: Has the types of the features.

    Returns:
      Feature -> divergence, and what is beyond its bound.

    Raises:
      UserError: A bound is given for a feature that neither side has.
    """
    counts = _num_values(comparison.statistics)
    reference_counts = _num_values(comparison.reference)
    measured = _divergences(comparison, schema)
    findings = []
    for name, bound in sorted(comparison.bounds.items()):
        count, reference_count = counts.get(name, 0), reference_counts.get(name, 0)
        if not count and not reference_count:
            raise UserError(
                f"{comparison.setting} names {name}, which neither the split "
                f"{comparison.split} nor {comparison.reference_name} has",
                f"Remove it: --set {comparison.setting}.{name}=null.",
            )
        if not count or not reference_count:
            here = f"{count:,} values here and {reference_count:,} there"
            findings.append(_finding(comparison, name, here, count))
        # Written so that a divergence that is no number is beyond every bound.
        elif not measured[name] <= bound:
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
        remedy="Mend the input; if the change is meant, accept it with --set "
        f"{comparison.setting}.{name}=null.",
    )


def _divergences(comparison: Comparison, schema: schema_pb2.Schema) -> dict[str, float]:
    bounded = schema_pb2.Schema()
    for feature in schema.feature:
        if feature.name in comparison.bounds:
            own = bounded.feature.add(name=feature.name, type=feature.type)
            bound = comparison.bounds[feature.name]
            own.drift_comparator.jensen_shannon_divergence.threshold = bound
    anomalies = tfdv.validate_statistics(
        comparison.statistics, bounded, previous_statistics=comparison.reference
    )
    return {
        info.path.step[0]: measurement.value
        for info in anomalies.drift_skew_info
        for measurement in info.drift_measurements
    }


def _num_values(statistics: Statistics) -> dict[str, int]:
    """Feature -> values that it has in all rows together."""
    counts: dict[str, int] = {}
    for dataset in statistics.datasets:
        for feature in dataset.features:
            kind = feature.WhichOneof("stats")
            common = getattr(feature, kind).common_stats
            counts[feature.path.step[0]] = int(common.tot_num_values)
    return counts
