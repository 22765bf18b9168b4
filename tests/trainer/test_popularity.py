"""Ranks by popularity equal those of a ranking of the whole corpus."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from tests.fixtures.ranking_oracle import oracle_rank
from trainer.popularity import PopularityRanking
from trainer.ranking import OUT_OF_CORPUS, PADDING

_ROWS = st.lists(st.integers(-2, 9), max_size=12)


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=8),
    st.lists(st.tuples(_ROWS, _ROWS), min_size=1, max_size=3),
    st.booleans(),
)
def test_ranks_equal_the_oracle(counts, queries, exclude_seen):
    """Ties, repeated and unknown movies, and held-out movies that were seen."""
    seen, held_out = (padded(rows) for rows in zip(*queries, strict=True))
    ranking = PopularityRanking(np.array(counts))
    found = ranking.rank(seen, held_out, exclude_seen).numpy()
    for row, (seen_row, held_out_row) in enumerate(zip(seen, held_out, strict=True)):
        scores = [float(count) for count in counts]
        expected = [
            oracle_rank(scores, set(seen_row.tolist()), int(movie), exclude_seen)
            for movie in held_out_row
        ]
        assert found[row].tolist() == expected


def padded(rows) -> np.ndarray:
    matrix = np.full((len(rows), max(map(len, rows))), PADDING, np.int64)
    for row, values in enumerate(rows):
        matrix[row, : len(values)] = values
    return matrix


def test_a_movie_that_is_not_a_candidate_ranks_last():
    ranking = PopularityRanking(np.array([5, 3, 1]))
    seen = np.array([[1]])
    held_out = np.array([[0, 1, 2, OUT_OF_CORPUS, 7, PADDING]])
    assert ranking.rank(seen, held_out).numpy().tolist() == [[1, 4, 2, 4, 4, 0]]
