"""Sentences about the thresholds."""

from __future__ import annotations

import math

import pytest

from components.evaluator.reasons import sentence
from components.evaluator.thresholds import Outcome


def outcome(kind, value, compared, reference, bound, passed, noise=0.0, slice=""):  # noqa: A002, PLR0917
    return Outcome(
        metric="ndcg@10",
        kind=kind,
        slice=slice,
        queries=12,
        value=value,
        compared=compared,
        reference=reference,
        bound=bound,
        noise=noise,
        passed=passed,
    )


@pytest.mark.parametrize(
    ("explained", "expected"),
    [
        (
            outcome("lift", 0.1213, 2.9442, 0.0412, 1.1, True),
            "ndcg@10 0.1213 is 2.9x popularity (0.0412), at least 1.1x is required",
        ),
        (
            outcome("lift", 0.04119, 0.99976, 0.0412, 1.0, False),
            "ndcg@10 0.0412 is 0.9998x popularity (0.0412), "
            "but at least 1x is required",
        ),
        (
            outcome("lift", 0.05, 1.25, 0.04, 1.1, False, noise=0.02),
            "ndcg@10 0.0500 is 1.2x popularity (0.0400), "
            "but a gain of +0.0100 is within noise (0.0200)",
        ),
        (
            # Above a bound below 1, but worse than popularity.
            outcome("lift", 0.5, 0.5443, 0.9185, 0.5, False),
            "ndcg@10 0.5000 is 0.54x popularity (0.9185), "
            "but worse by 0.4185: it must be better beyond noise",
        ),
        (
            outcome("lift", 0.02, 0.5, 0.04, 1.0, False, noise=0.01, slice="sex=F"),
            "sex=F (12 users): ndcg@10 0.0200 is 0.5x popularity (0.0400), "
            "but at least 1x is required, beyond noise (0.0100)",
        ),
        (
            outcome("lift", 0.1, math.inf, 0.0, 1.0, True),
            "ndcg@10 0.1000 is above popularity (0.0000), at least 1x is required",
        ),
        (
            outcome("change", 0.11, -0.02, 0.13, -0.01, False),
            "ndcg@10 0.1100 is -0.0200 against the live model (0.1300), "
            "but at least -0.0100 is required",
        ),
        (
            outcome("change", 0.11, -0.02, 0.13, -0.01, True, noise=0.03),
            "ndcg@10 0.1100 is -0.0200 against the live model (0.1300), "
            "at least -0.0300 is required (noise)",
        ),
        (
            outcome("change", 0.11, math.nan, math.nan, -0.01, False),
            "ndcg@10 of the live model is unknown: it was exported before there was "
            "this metric. Set no max_drop of ndcg@10 until a newer one is live",
        ),
        (
            outcome("floor", math.nan, math.nan, math.nan, 0.1, False),
            "ndcg@10 is nan, but at least 0.1 is required",
        ),
    ],
)
def test_an_outcome_is_explained_in_one_sentence(explained, expected):
    assert sentence(explained) == expected
