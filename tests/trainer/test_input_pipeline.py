"""Arrays of lists of differing lengths."""

from __future__ import annotations

import numpy as np

from benchmarks.quality.cold_world import take_rows
from tests.fixtures.small_model import ragged
from trainer.ranking import PADDING


def test_ragged_rows_are_padded_after_their_end() -> None:
    rows = ragged([[1, 2, 3], [], [4]])
    expected = [[1, 2, 3], [PADDING] * 3, [4, PADDING, PADDING]]
    np.testing.assert_array_equal(rows.padded(PADDING), expected)
    assert rows.padded(PADDING, width=5).shape == (3, 5)


def test_take_rows_selects_from_all_columns() -> None:
    columns = {"list": ragged([[1, 2], [], [3, 4, 5], [6]]), "one": np.arange(4) * 10}
    taken = take_rows(columns, np.array([2, 1, 2, 0]))
    assert taken["list"].values.tolist() == [3, 4, 5, 3, 4, 5, 1, 2]
    assert taken["list"].lengths.tolist() == [3, 0, 3, 2]
    assert taken["one"].tolist() == [20, 10, 20, 0]
    assert take_rows(columns, np.array([], int))["list"].lengths.tolist() == []
