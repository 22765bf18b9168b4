"""Pools: their values are those of the formulas in the docstrings."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fixtures import small_model as small
from trainer.history.pool import BagHistory, PooledHistory

DECAYS = (0.5, 0.8)


@pytest.mark.parametrize("length", [1, small.WINDOW_LENGTH, 31, 32, 100])
def test_pools_equal_the_formulas_of_the_docstring(length: int) -> None:
    """Of one block of positions, and of several."""
    context = small.context(recency_decays=DECAYS)._replace(window_length=length)
    layer = PooledHistory(context)
    shape = (small.HISTORY_ROWS, length, small.MODEL.embedding_dim)
    events = np.random.default_rng(1).normal(size=shape).astype("float32")
    codes = small.encode_everywhere(layer, events)
    for position in range(length + 1):
        before = events[:, :position]
        long_term = before.sum(axis=1) / np.sqrt(max(position, 1))
        np.testing.assert_allclose(codes[:, position, 0], long_term, atol=1e-5)
        for output, decay in enumerate(DECAYS, start=1):
            weights = decay ** np.arange(position)[::-1]
            expected = np.einsum("s,bsd->bd", weights, before)
            np.testing.assert_allclose(codes[:, position, output], expected, atol=1e-5)


def test_a_bag_has_all_events_but_that_at_the_position() -> None:
    events = small.history_events()
    codes = small.encode_everywhere(BagHistory(small.context()), events)
    for position in range(small.WINDOW_LENGTH + 1):
        others = (
            np.delete(events, position, axis=1)
            if position < small.WINDOW_LENGTH
            else events
        )
        count = 4 if position < 5 else 5
        expected = others.sum(axis=1) / np.sqrt(count)
        np.testing.assert_allclose(codes[:, position, 0], expected, atol=1e-5)
