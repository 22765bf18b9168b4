"""The divergence of two distributions of a feature, from TFDV's statistics.

The measure is the Jensen-Shannon divergence, base 2: 0 for equal distributions, 1 for
those that share no value. TFDV computes it too, but over bins that depend on the data:

- For numbers its bins span the lowest to the highest value, so that one rating of 0.5
  among a hundred thousand from 1 to 5 yields 0.24. Here they are the ratings of the
  scale, or follow from the domain in the schema.
- Strings it compares by the thousand most frequent ones of each side. Most of the
  thousands of movies have few ratings, and which of them are among the thousand is
  chance: two halves of the same users yield 0.57. Here all rare values count as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import tensorflow_data_validation as tfdv
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.serving_directory import STATISTICS_FILE
from trainer import features
from trainer.errors import UserError
from trainer.movielens import RatingScale

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList
FeatureStatistics: TypeAlias = statistics_pb2.FeatureNameStatistics
Counts: TypeAlias = NDArray[np.float64]

# As many as TFDV writes buckets by itself.
_NUM_BINS: Final = 10
_FREQUENT: Final = 200


def stats_options(rating_scale: Sequence[float] | None) -> Any:
    """Returns the `tfdv.StatsOptions` by which every rating can be counted.

    Args:
      rating_scale: `data.rating_scale`.

    Returns:
      None where TFDV's defaults are enough.
    """
    num_ratings = RatingScale.of(rating_scale).num_ratings
    if num_ratings <= _NUM_BINS:
        return None
    return tfdv.StatsOptions(num_histogram_buckets=num_ratings)


def parse_statistics(content: bytes, serving_dir: str, version: str) -> Statistics:
    """Parses the statistics of what a served version was trained on.

    Raises:
      UserError: They are damaged.
    """
    try:
        return Statistics.FromString(content)
    except DecodeError:
        raise UserError(
            f"{serving_dir}/{version}/{STATISTICS_FILE} is damaged: it cannot be "
            "parsed as statistics",
            "Restore it, or delete it to run without the check for drift.",
        ) from None


def by_name(statistics: Statistics) -> dict[str, FeatureStatistics]:
    """Returns the statistics of each feature."""
    return {
        feature.path.step[0]: feature
        for dataset in statistics.datasets
        for feature in dataset.features
    }


def divergence(
    statistics: FeatureStatistics,
    reference: FeatureStatistics,
    feature: schema_pb2.Feature,
    rating_scale: Sequence[float] | None = None,
) -> float:
    """Returns the Jensen-Shannon divergence of a feature, from 0 to 1.

    Args:
      statistics: Of the feature, numbers or strings, at least one value.
      reference: The same feature elsewhere.
      feature: Has the domain of a number other than a rating.
      rating_scale: `data.rating_scale`.

    Raises:
      UserError: A number's domain has no lowest and highest value.
    """
    if statistics.WhichOneof("stats") == "num_stats":
        bins = _bins(feature, RatingScale.of(rating_scale))
        return _jensen_shannon(_binned(statistics, bins), _binned(reference, bins))
    return _jensen_shannon(*_by_value(statistics, reference))


def _bins(feature: schema_pb2.Feature, scale: RatingScale) -> Counts:
    """Returns the centres of the bins in ascending order: the ratings of the scale.

    For other numbers there are ten, from the lowest value of the domain up.
    """
    if feature.name == features.RATINGS:
        return np.linspace(scale.lowest, scale.highest, scale.num_ratings)
    kind = feature.WhichOneof("domain_info")
    domain = getattr(feature, kind) if kind in ("float_domain", "int_domain") else None
    if domain is None or not (domain.HasField("min") and domain.HasField("max")):
        raise UserError(
            f"{feature.name} has a bound on its drift or skew, but no domain with a "
            "lowest and a highest value in components/schema_importer/schema.pbtxt",
            "Give it one, or remove the bound.",
        )
    return np.linspace(domain.min, domain.max, _NUM_BINS)


def _binned(statistics: FeatureStatistics, bins: Counts) -> Counts:
    """Returns the number of values nearest to the centre of each bin, `[bins]`.

    TFDV writes at least as many buckets as there are bins, so that a bucket is narrower
    than a bin, and its centre nearest to the bin to which its values belong. They come
    from quantiles: a thousandth of the values may count in a neighbouring bin.
    """
    buckets = next(
        histogram.buckets
        for histogram in statistics.num_stats.histograms
        if histogram.type == statistics_pb2.Histogram.STANDARD
    )
    middles = np.array([(b.low_value + b.high_value) / 2 for b in buckets])
    nearest = np.abs(middles[:, np.newaxis] - bins).argmin(axis=1)
    counts = [bucket.sample_count for bucket in buckets]
    return np.bincount(nearest, counts, len(bins)).astype(float)


def _by_value(
    statistics: FeatureStatistics, reference: FeatureStatistics
) -> tuple[Counts, Counts]:
    """Counts the values that are frequent on either side, and all others as one."""
    sides = [
        {b.label: b.sample_count for b in side.string_stats.rank_histogram.buckets}
        for side in (statistics, reference)
    ]
    frequent: set[str] = set()
    for side in sides:
        frequent.update(sorted(side, key=lambda v: (-side[v], v))[:_FREQUENT])
    own, other = (
        np.array([side.get(value, 0.0) for value in sorted(frequent)]) for side in sides
    )
    return (
        np.append(own, num_values(statistics) - own.sum()),
        np.append(other, num_values(reference) - other.sum()),
    )


def num_values(statistics: FeatureStatistics) -> int:
    """Returns the number of values of the feature in all rows together."""
    by_type = getattr(statistics, statistics.WhichOneof("stats"))
    return int(by_type.common_stats.tot_num_values)


def _jensen_shannon(counts: Counts, reference: Counts) -> float:
    """Returns the mean Kullback-Leibler divergence of both from their mean, in bits.

    Source: Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions
    on Information Theory 37(1), 1991.
    """
    own, other = counts / counts.sum(), reference / reference.sum()
    middle = (own + other) / 2
    halves = 0.0
    for side in (own, other):
        there = side > 0
        halves += float((side[there] * np.log2(side[there] / middle[there])).sum()) / 2
    return min(max(halves, 0.0), 1.0)
