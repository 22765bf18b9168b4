"""Comparisons with popularity, and the values of an evaluation without queries."""

from __future__ import annotations

import math

import pytest

from components.evaluator.results import COUNTS
from components.metrics import default_metric_names
from tests.fixtures.query_batches import batch_of, compute

NAMES = default_metric_names((1, 3, 10))


@pytest.mark.parametrize(
    ("model", "popularity", "lift"),
    [(1, 4, 4.0), (9, 9, 1.0), (1, 31, math.inf), (31, 31, 0.0), (31, 1, 0.0)],
)
def test_popularity_lift(model, popularity, lift):
    batch = batch_of([[model]], 30, popularity_rank=[[popularity]])
    result = compute("mrr", batch)
    assert result["popularity_lift/mrr"] == lift
    assert result["popularity/mrr"] == (1 / popularity if popularity <= 30 else 0)


@pytest.mark.parametrize("name", NAMES)
def test_no_query_gives_no_value(name):
    values = compute(name)
    counts = [values.pop(count) for count in COUNTS]
    assert counts == [0, 0, 0]
    assert all(math.isnan(value) for value in values.values())
