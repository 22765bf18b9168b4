"""Arrays of windows: padding, targets, order."""

from __future__ import annotations

from collections import Counter

import numpy as np

from tests.fixtures import small_model as small
from tests.fixtures.small_model import ragged
from trainer import features as f
from trainer.input_pipeline import PADDING, Columns, window_dataset


def overlapping() -> Columns:
    """One user of ten events in windows of six: four of the second are context."""
    timeline = list(range(10))
    return {
        f.USER_INDEX: np.zeros(2, np.int64),
        f.USER_ATTRIBUTE_INDICES: np.zeros((2, 3), np.int64),
        f.MOVIE_INDICES: ragged([timeline[:6], timeline[2:8]]),
        f.NUM_CONTEXT: np.array([0, 4]),
    }


def test_ragged_rows_are_padded_behind_their_end() -> None:
    rows = ragged([[1, 2, 3], [], [4]])
    expected = [[1, 2, 3], [PADDING] * 3, [4, PADDING, PADDING]]
    np.testing.assert_array_equal(rows.padded(PADDING), expected)
    assert rows.padded(PADDING, width=5).shape == (3, 5)


def test_every_event_is_a_target_exactly_once() -> None:
    counts: Counter[int] = Counter()
    for batch in window_dataset(overlapping(), length=7, batch_size=1, seed=1):
        assert batch["movie_indices"].shape == (1, 7)
        targets = batch["movie_indices"].numpy()[batch["is_target"].numpy()]
        counts.update(targets.tolist())
    assert counts == Counter(range(8))


def test_the_order_changes_with_the_epoch_and_repeats_with_the_seed() -> None:
    def order(seed: int) -> list[list[int]]:
        dataset = window_dataset(small.train_columns(), 8, 1, seed)
        return [[int(b["user_index"][0]) for b in dataset] for _ in range(3)]

    assert order(5) == order(5)
    assert order(5)[0] != order(5)[1]
