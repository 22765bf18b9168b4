"""The pooled history: its definition, and that nothing of the future enters it."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.history import PooledHistory

DECAYS = (0.5, 0.8)


@pytest.fixture
def events() -> np.ndarray:
    """Three timelines of five events, in four dimensions."""
    return np.random.default_rng(1).normal(size=(3, 5, 4)).astype("float32")


def test_pools_are_what_the_docstring_says(events: np.ndarray) -> None:
    long_term, *recent = map(np.asarray, PooledHistory(DECAYS)(events))
    assert [pool.shape for pool in (long_term, *recent)] == [(3, 6, 4)] * 3
    for place in range(6):
        before = events[:, :place]
        expected = before.sum(axis=1) / np.sqrt(max(place, 1))
        np.testing.assert_allclose(long_term[:, place], expected, atol=1e-5)
        for decay, pool in zip(DECAYS, recent, strict=True):
            weights = decay ** np.arange(place)[::-1]
            expected = np.einsum("s,bsd->bd", weights, before)
            np.testing.assert_allclose(pool[:, place], expected, atol=1e-5)


def test_an_event_changes_only_the_places_behind_it(events: np.ndarray) -> None:
    history = PooledHistory(DECAYS)
    before = [np.asarray(pool) for pool in history(events)]
    changed = events.copy()
    changed[:, 3] += 1.0
    after = [np.asarray(pool) for pool in history(changed)]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old[:, :4], new[:, :4])
        assert (old[:, 4:] != new[:, 4:]).all()


def test_padding_behind_the_last_event_changes_nothing(events: np.ndarray) -> None:
    padded = np.concatenate([events, np.zeros((3, 2, 4), "float32")], axis=1)
    for short, long in zip(
        PooledHistory(DECAYS)(events), PooledHistory(DECAYS)(padded), strict=True
    ):
        np.testing.assert_allclose(short, np.asarray(long)[:, :6], atol=1e-6)
