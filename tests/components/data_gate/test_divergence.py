"""The divergence of statistics that TFDV computes from known values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from google.protobuf import text_format
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_data_validation.statistics.stats_options import StatsOptions
from tensorflow_metadata.proto.v0 import schema_pb2

from components.data_gate.divergence import (
    FeatureStatistics,
    divergence,
    stats_options,
)
from components.schema_importer import curated_schema_text
from trainer.errors import UserError
from trainer.movielens import RatingScale

SCHEMA = text_format.Parse(curated_schema_text(), schema_pb2.Schema())
FEATURES = {feature.name: feature for feature in SCHEMA.feature}
# Of ML-100K, from one star to five.
STARS = np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], [611, 1137, 2714, 3417, 2120])


def _statistics(
    name: str, values: Sequence[object], options: Any = None
) -> FeatureStatistics:
    rows = pa.array([[value] for value in values])
    if pa.types.is_float64(rows.type.value_type):
        rows = rows.cast(pa.list_(pa.float32()))
    batch = pa.record_batch([rows], [name])
    found = stats_impl.generate_statistics_in_memory(batch, options or StatsOptions())
    (dataset,) = found.datasets
    (feature,) = dataset.features
    return feature


def _measure(name: str, first: Sequence[object], second: Sequence[object]) -> float:
    sides = _statistics(name, first), _statistics(name, second)
    there, back = (
        divergence(*sides, FEATURES[name]),
        divergence(*reversed(sides), FEATURES[name]),
    )
    assert there == pytest.approx(back, abs=1e-12)
    return there


def _exact(first: Sequence[object], second: Sequence[object]) -> float:
    """Entropy of the mixture minus the mean entropy, value by value."""
    sides = [{v: n / len(s) for v, n in Counter(s).items()} for s in (first, second)]
    middle = {v: sum(s.get(v, 0) / 2 for s in sides) for v in {*sides[0], *sides[1]}}

    def entropy(shares: dict[object, float]) -> float:
        return -sum(share * math.log2(share) for share in shares.values())

    return entropy(middle) - sum(map(entropy, sides)) / 2


HALVES = np.maximum(STARS - np.arange(len(STARS)) % 2 / 2, 0.5)


@pytest.mark.parametrize(
    "changed",
    [
        6 - STARS,
        np.minimum(STARS + 1, 5),
        STARS / 2,
        np.full(len(STARS), 5.0),
        STARS[STARS >= 3],
        HALVES,
        HALVES[HALVES > 0.5],
    ],
    ids=["inverted", "plus_one", "halved", "all_five", "from_3", "halves", "from_1"],
)
def test_ratings_are_compared_star_by_star(changed: np.ndarray) -> None:
    """Whatever the range: TFDV's buckets are of another width each time."""
    found = _measure("ratings", list(changed), list(STARS))
    assert found == pytest.approx(_exact(list(changed), list(STARS)), abs=0.01)


@pytest.mark.parametrize("value", [0.5, 4.5])
def test_a_single_new_value_is_no_drift(value: float) -> None:
    assert _measure("ratings", [value, *STARS[1:]], list(STARS)) < 0.002


def test_equal_values_have_no_divergence() -> None:
    assert _measure("ratings", list(STARS), list(STARS[::-1])) == 0.0
    assert _measure("movie_ids", [b"1", b"2"], [b"2", b"1"]) == 0.0


def test_few_strings_are_compared_exactly() -> None:
    first, second = [b"F"] * 30 + [b"M"] * 70, [b"F"] * 60 + [b"M"] * 20 + [b"X"] * 20
    assert _measure("gender", first, second) == pytest.approx(_exact(first, second))
    assert _measure("gender", [b"F"], [b"M"]) == 1.0


def test_rare_strings_count_as_one_value() -> None:
    """Which of thousands of rare movies are rated is chance, not drift."""
    head = [b"head%d" % (number % 250) for number in range(10_000)]
    rare = [b"rare%d" % number for number in range(3_000)]
    other = [b"other%d" % number for number in range(3_000)]
    assert _measure("movie_ids", head + rare, head + other) < 0.02
    assert _measure("movie_ids", head + rare, rare + other) > 0.4


def test_a_number_without_a_domain_is_an_error() -> None:
    ages = _statistics("age", list(STARS))
    without = schema_pb2.Feature(name="age")
    with pytest.raises(UserError, match=r"age has a bound .*/schema\.pbtxt"):
        divergence(ages, ages, without)


@pytest.mark.parametrize("scale", [(1, 10, 1), (0.5, 10, 0.5), (0, 100, 1), (0, 1, 1)])
def test_ratings_on_another_scale_are_compared_value_by_value(
    scale: tuple[float, float, float],
) -> None:
    values = np.linspace(*scale[:2], RatingScale(*scale).num_ratings)
    rng = np.random.default_rng(1)
    # Each side spans another part of the scale, so that TFDV's buckets differ.
    first = rng.choice(values[1:], 10_000).tolist()
    second = rng.choice(values[:-1], 10_000).tolist()
    sides = [
        _statistics("ratings", side, stats_options(scale)) for side in (first, second)
    ]

    found = divergence(*sides, FEATURES["ratings"], scale)

    assert found == pytest.approx(_exact(first, second), abs=0.01)
