"""`trainer.ranking` against a NumPy oracle that sorts nothing and shares no code."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis.extra import numpy as hnp

from tests.fixtures.ranking_oracle import oracle_rank, oracle_top
from trainer.ranking import (
    OUT_OF_CORPUS,
    PADDING,
    rank_held_out,
    rank_in_blocks,
    top_k,
)

NAN, INF = math.nan, math.inf


def rank_one(
    scores: list[float], seen: list[int], held_out: list[int], exclude_seen: bool = True
) -> tuple[list[int], list[int]]:
    """Ranks and top 3 of a single query."""
    result = rank_held_out(
        np.array([scores], np.float32),
        np.array([seen], np.int32).reshape(1, -1),
        np.array([held_out], np.int32),
        top_k=3,
        exclude_seen=exclude_seen,
    )
    return result.rank.numpy()[0].tolist(), result.top_ids.numpy()[0].tolist()


@pytest.mark.parametrize(
    ("scores", "seen", "held_out", "rank", "top_ids"),
    [
        pytest.param([3, 2, 1, 0], [], [0, 1, 3], [1, 2, 4], [0, 1, 2], id="plain"),
        pytest.param([3, 2, 1, 0], [0, 2], [1, 3], [1, 2], [1, 3, -1], id="seen"),
        pytest.param([1, 1, 1, 1], [], [0, 3], [4, 4], [0, 1, 2], id="all equal"),
        pytest.param([0, 0, 0, 0], [1], [2], [3], [0, 2, 3], id="cold, all zero"),
        pytest.param([2, 1, 1, 0], [], [1, 2], [3, 3], [0, 1, 2], id="tie of two"),
        pytest.param([2, NAN, 1, 0], [], [1], [5], [0, 2, 3], id="own score is NaN"),
        pytest.param([NAN, 2, 1, 0], [], [1], [2], [1, 2, 3], id="a rival is NaN"),
        pytest.param([NAN] * 4, [], [2], [5], [-1, -1, -1], id="all NaN"),
        pytest.param([INF, INF, 1, 0], [], [0, 2], [2, 3], [0, 1, 2], id="+inf ties"),
        pytest.param([-INF, -INF, 1, 0], [3], [0], [3], [2, 0, 1], id="-inf comes"),
        pytest.param([3, 2, 1, 0], [], [OUT_OF_CORPUS, 4], [5, 5], [0, 1, 2], id="oov"),
        pytest.param([3, 2, 1, 0], [], [PADDING, 1], [0, 2], [0, 1, 2], id="padding"),
        pytest.param([3, 2, 1, 0], [1], [1], [5], [0, 2, 3], id="held out was seen"),
        pytest.param([3, 2], [0, 1], [0], [3], [-1, -1, -1], id="every movie seen"),
        pytest.param([3, 2], [-1, -2, 7], [0], [1], [0, 1, -1], id="seen outside"),
        pytest.param([3, 2], [], [], [], [0, 1, -1], id="nothing held out"),
    ],
)
def test_defined_outcomes(scores, seen, held_out, rank, top_ids):
    assert rank_one(scores, seen, held_out) == (rank, top_ids)


def test_scores_that_differ_by_rounding_are_ties():
    """Whether sums of floats are equal to the last bit depends on the processor."""
    nearly = np.float32([7.0] * 50) + np.linspace(0, 5e-6, 50, dtype=np.float32)
    assert len(np.unique(nearly)) > 5
    best = int(np.argmax(nearly))
    assert rank_one(list(nearly), [3], [best])[0] == [49]
    assert rank_one([*nearly, NAN], [], [best])[0] == [51]
    # Scores that differ are compared as they are.
    not_smaller = int(np.sum(nearly >= nearly[best]))
    ranks = [51, 1 + not_smaller, 1]
    assert rank_one([*nearly, 7.1], [], [0, best, 50])[0] == ranks


def test_seen_movies_are_candidates_on_request():
    assert rank_one([3, 2, 1], [0], [1, 0], exclude_seen=False) == ([2, 1], [0, 1, 2])


# Few distinct values, so that ties, NaN and infinities meet in most examples.
_SCORES = st.sampled_from([-INF, -1.5, 0.0, -0.0, 0.25, 1.0, INF, NAN])
# Which are ranked in another way if all of a batch are finite.
_FINITE = st.sampled_from([-1.5, 0.0, -0.0, 0.25, 1.0])


@st.composite
def _queries(draw):
    batch, movies = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    rows = st.integers(-2, movies + 1)
    values = _FINITE if draw(st.booleans()) else _SCORES
    scores = draw(hnp.arrays(np.float32, (batch, movies), elements=values))
    seen = draw(hnp.arrays(np.int32, (batch, draw(st.integers(0, 9))), elements=rows))
    # Many held-out movies are ranked in another way than few.
    num_held_out = draw(st.integers(0, 4) | st.just(70))
    held = draw(hnp.arrays(np.int32, (batch, num_held_out), elements=rows))
    return scores, seen, held, draw(st.integers(1, 12)), draw(st.booleans())


@given(_queries())
def test_equals_the_oracle(query):
    scores, seen, held_out, top_k, exclude_seen = query
    result = rank_held_out(scores, seen, held_out, top_k, exclude_seen)
    for row, row_scores in enumerate(scores.tolist()):
        row_seen = set(seen[row].tolist())
        expected = [
            oracle_rank(row_scores, row_seen, movie, exclude_seen)
            for movie in held_out[row].tolist()
        ]
        assert result.rank.numpy()[row].tolist() == expected
        assert result.top_ids.numpy()[row].tolist() == oracle_top(
            row_scores, row_seen, top_k, exclude_seen
        )


@given(_queries(), st.data())
def test_breaking_a_score_never_improves_a_rank(query, data):
    scores, seen, held_out, top_k, exclude_seen = query
    before = rank_held_out(scores, seen, held_out, top_k, exclude_seen).rank
    broken = scores.copy()
    broken[:, data.draw(st.integers(0, scores.shape[1] - 1))] = NAN
    after = rank_held_out(broken, seen, held_out, top_k, exclude_seen).rank
    assert np.all(after.numpy() >= before.numpy())


@given(_queries())
def test_a_movie_ranked_within_k_is_among_the_top_k(query):
    scores, seen, held_out, top_k, exclude_seen = query
    result = rank_held_out(scores, seen, held_out, top_k, exclude_seen)
    for movies, rank, top_ids in zip(held_out, *map(np.asarray, result), strict=True):
        # Beyond the corpus a rank means "never shown", however large k is.
        within = movies[(rank > 0) & (rank <= min(top_k, scores.shape[1]))]
        assert set(within.tolist()) <= set(top_ids.tolist())


@pytest.mark.parametrize("width", [33_000, None])
def test_the_best_of_many_columns_are_those_of_a_sort(width):
    """In groups, with ties in all of them, and fewer scores than are asked for."""
    scores = np.random.default_rng(1).integers(0, 200, (3, 33_000)).astype(np.float32)
    scores[1] = 7
    scores[2, :-5] = -INF
    traced = tf.function(top_k, autograph=False).get_concrete_function(
        tf.TensorSpec([None, width], tf.float32), tf.TensorSpec([], tf.int32)
    )
    for k in (1, 300):
        best, columns = traced(tf.constant(scores), tf.constant(k))
        expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(
            best, np.take_along_axis(scores, expected, axis=1)
        )
        is_finite = np.isfinite(best)
        np.testing.assert_array_equal(columns.numpy()[is_finite], expected[is_finite])


@pytest.mark.parametrize("batch", [0, 1, 7, 23])
def test_blocks_give_the_same_as_the_whole_batch(batch, monkeypatch):
    monkeypatch.setattr("trainer.blocks.BLOCK_BYTES", 4096)  # 4 queries of 29 movies
    rng = np.random.default_rng(batch)
    queries = rng.integers(-3, 4, (batch, 5)).astype(np.float32)
    movies = rng.integers(-3, 4, (29, 5)).astype(np.float32)
    seen = rng.integers(-2, 31, (batch, 6))
    held_out = rng.integers(-2, 31, (batch, 3))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 5], tf.float32),
            tf.TensorSpec([None, None], tf.int64),
            tf.TensorSpec([None, None], tf.int64),
        ]
    )
    def traced(queries, seen, held_out):
        return rank_in_blocks(
            lambda block: tf.matmul(block, movies, transpose_b=True),
            queries,
            seen,
            held_out,
            num_candidates=len(movies),
            top_k=40,
        )

    whole = rank_held_out(queries @ movies.T, seen, held_out, top_k=40)
    blocks = traced(queries, seen, held_out)
    np.testing.assert_array_equal(blocks.rank, whole.rank)
    np.testing.assert_array_equal(blocks.top_ids, whole.top_ids)
