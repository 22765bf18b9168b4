"""Re-ranking on top of an index, against the rule written down with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.test_recommend import assert_greedy
from trainer import diversity as module
from trainer.diversity import Diversity
from trainer.ranking import PADDING
from trainer.retrieval_index import (
    Attributes,
    BruteForceIndex,
    IvfIndex,
    IvfParameters,
    RetrievalIndex,
)

_MOVIES, _POOL = 90, 12
_EXCLUDED = [3, 4, 5]
_BROKEN = 7  # whose embedding is not finite


@pytest.fixture(params=["brute_force"])
def index(request: pytest.FixtureRequest) -> RetrievalIndex:
    embeddings = np.random.default_rng(1).normal(size=(_MOVIES + 1, 9))
    embeddings[_BROKEN], embeddings[11, :-1] = np.nan, 0
    table = embeddings.astype(np.float32)
    nothing = np.zeros(_MOVIES, np.int32)
    if request.param == "brute_force":
        return BruteForceIndex(table, Attributes(nothing, nothing))
    return IvfIndex(table, Attributes(nothing, nothing), IvfParameters(5, 30, 3), 1)


@pytest.fixture
def rerank(index: RetrievalIndex, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Asks three users for some movies each: scores, rows and all scores."""
    monkeypatch.setattr(module, "_POOL", _POOL)
    reranking = Diversity(index)
    query = np.random.default_rng(2).normal(size=(3, 9)).astype(np.float32)

    @tf.function(autograph=False)
    def best(share: tf.Tensor, width: tf.Tensor, excluded: tf.Tensor) -> Any:
        return reranking(
            share, width, lambda width: index.best(tf.constant(query), excluded, width)
        )

    def ask(share: list[float], width: int, excluded: list[int]) -> Any:
        found = best(
            tf.constant(share), tf.constant(width), tf.constant([excluded] * 3)
        )
        return *(each.numpy() for each in found), index.scores(query).numpy()

    return ask


@pytest.mark.parametrize("index", ["brute_force", "ivf"], indirect=True)
def test_the_pool_is_reranked_and_the_rest_follows(
    index: RetrievalIndex, rerank: Any
) -> None:
    _, best, all_scores = rerank([0.0] * 3, 20, _EXCLUDED)
    shares = [0.0, 0.3, 0.9]
    for width in (1, 5, _POOL, 20):
        scores, rows, _ = rerank(shares, width, _EXCLUDED)
        assert rows.shape == (3, width)
        for row, share in enumerate(shares):
            found = rows[row].tolist()
            assert len({*found}) == width
            assert not {*found} & {*_EXCLUDED, _BROKEN}
            assert scores[row] == pytest.approx(all_scores[row, found], rel=1e-5)
            vectors = index.embeddings_of(tf.range(_MOVIES)).numpy()[:, :-1]
            pool = best[row, :_POOL].tolist()
            assert {*found[:_POOL]} <= {*pool}
            assert_greedy(found[:_POOL], pool, all_scores[row], vectors, share)
            assert found[_POOL:] == best[row, _POOL:width].tolist()
        assert (rows[0] == best[0, :width]).all()


def test_what_is_asked_for_decides_the_length_and_not_the_order(rerank: Any) -> None:
    _, ten, _ = rerank([0.4] * 3, 10, [PADDING])
    _, three, _ = rerank([0.4] * 3, 3, [PADDING])
    assert (ten[:, :3] == three).all()


def test_a_row_ends_where_no_movie_is_left(rerank: Any) -> None:
    excluded = [row for row in range(_MOVIES) if row not in (2, 8, 11)]
    scores, rows, all_scores = rerank([0.4, 0.0, 0.4], 6, excluded)
    for row in range(3):
        assert {*rows[row, :3]} == {2, 8, 11}
        assert rows[row, 0] == (2, 8, 11)[all_scores[row, [2, 8, 11]].argmax()]
        assert np.isfinite(scores[row, :3]).all()
        assert (scores[row, 3:] == -np.inf).all()


def test_of_two_like_movies_one_makes_room_for_another() -> None:
    table = np.array(
        [[1, 0, 0], [0.99, 0, 0], [0, 0.9, 0], [0.1, 0.1, 0], [0, 0, 0]], np.float32
    )
    index = BruteForceIndex(table, Attributes(*np.zeros((2, 4), np.int32)))
    for share, wanted in ((0.0, [0, 1, 2]), (0.4, [0, 2, 1])):
        _, rows = Diversity(index)(
            tf.constant([share]),
            tf.constant(3),
            lambda width: index.best(
                tf.constant([[1, 0.8, 1]]), tf.constant([[PADDING]]), width
            ),
        )
        assert rows.numpy().tolist() == [wanted]
