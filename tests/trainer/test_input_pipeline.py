"""Arrays of lists of differing lengths."""

from __future__ import annotations

import numpy as np

from tests.fixtures.small_model import ragged
from trainer.input_pipeline import PADDING


def test_ragged_rows_are_padded_behind_their_end() -> None:
    rows = ragged([[1, 2, 3], [], [4]])
    expected = [[1, 2, 3], [PADDING] * 3, [4, PADDING, PADDING]]
    np.testing.assert_array_equal(rows.padded(PADDING), expected)
    assert rows.padded(PADDING, width=5).shape == (3, 5)
