"""Layers of the towers: dropout by bytes."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.towers.layers import ByteDropout

# A width that is no multiple of the bytes of one draw.
INPUTS = np.ones((4000, 7), np.float32)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75])
def test_the_rate_is_dropped_and_the_mean_is_kept(rate: float) -> None:
    result = np.array(ByteDropout(rate, seed=1)(INPUTS, training=True))
    assert np.mean(result == 0, axis=0) == pytest.approx([rate] * 7, abs=0.04)
    assert result.mean() == pytest.approx(1, abs=0.04)
    assert len(np.unique(result)) == 2


def test_draws_are_independent_between_calls_and_values() -> None:
    dropout = ByteDropout(0.5, seed=1)
    first, second = (np.array(dropout(INPUTS, training=True)) for _ in range(2))
    assert np.mean(first == second) == pytest.approx(0.5, abs=0.02)
    assert np.corrcoef(first.T)[0, 1:] == pytest.approx([0] * 6, abs=0.06)


def test_outside_training_and_without_a_rate_nothing_is_dropped() -> None:
    assert (np.array(ByteDropout(0.5, seed=1)(INPUTS)) == INPUTS).all()
    assert (np.array(ByteDropout(0.0, seed=1)(INPUTS, training=True)) == INPUTS).all()


def test_the_highest_rate_keeps_some_values() -> None:
    result = np.array(ByteDropout(0.999, seed=1)(INPUTS, training=True))
    assert np.isfinite(result).all() and result.any()
