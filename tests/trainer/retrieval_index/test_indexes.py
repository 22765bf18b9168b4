"""Every index returns the best movies that are left, whatever is left out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.config import IndexConfig
from trainer.held_out_ranking import index_recall
from trainer.ranking import PADDING
from trainer.retrieval_index import (
    Attributes,
    BruteForceIndex,
    Filters,
    FixedPointIvfIndex,
    IvfIndex,
    IvfParameters,
    RetrievalIndex,
    brute_force,
    make_index,
)

NUM_MOVIES = 300
DIM = 6
_SETTINGS = settings(max_examples=20, deadline=None)


def _attributes(num_movies: int) -> Attributes:
    rows = np.arange(num_movies, dtype=np.int32)
    return Attributes(1 << (rows % 5), np.where(rows % 7, 1950 + rows % 60, 0))


def _embeddings(num_movies: int = NUM_MOVIES, seed: int = 0) -> np.ndarray:
    """Clusters of different sizes and lengths, as movies are."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(12, DIM)) * rng.exponential(size=(12, 1))
    chosen = centres[rng.integers(0, 12, num_movies + 1)]
    return (chosen + 0.3 * rng.normal(size=chosen.shape)).astype(np.float32)


def _ivf(
    probes: int,
    embeddings: np.ndarray | None = None,
    kind: type[IvfIndex] = IvfIndex,
) -> IvfIndex:
    embeddings = _embeddings() if embeddings is None else embeddings
    shape = IvfParameters(cells=20, capacity=16, probes=probes)
    return kind(embeddings, _attributes(len(embeddings) - 1), shape, seed=3)


EXACT = BruteForceIndex(_embeddings(), _attributes(NUM_MOVIES))
INDEXES = {
    "exact": EXACT,
    "ivf": _ivf(4),
    "all leaves": _ivf(1000),
    "int8": _ivf(4, kind=FixedPointIvfIndex),
    "int8, all leaves": _ivf(1000, kind=FixedPointIvfIndex),
}
BEST = {
    name: tf.function(
        index.best,
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, DIM]),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([], tf.int32),
            Filters(*[tf.TensorSpec([None], tf.int32)] * 3),
        ],
    )
    for name, index in INDEXES.items()
}

rows_of = st.lists(st.integers(-2, NUM_MOVIES + 2), max_size=30) | st.just(
    list(range(NUM_MOVIES))
)
nearly_all = st.integers(0, NUM_MOVIES).map(lambda n: list(range(n)))
filters_of = st.tuples(
    st.sampled_from([0, 0, 1, 6, 1 << 18]),
    st.sampled_from([0, 0, 1960, 2020]),
    st.sampled_from([0, 0, 1961, 1900]),
)


@_SETTINGS
@given(
    batch=st.lists(st.tuples(rows_of | nearly_all, filters_of), min_size=1, max_size=4),
    width=st.sampled_from([1, 3, 10, 100, NUM_MOVIES]),
    seed=st.integers(0, 5),
)
def test_nothing_left_out_is_returned_and_nothing_left_is_missing(
    batch: list, width: int, seed: int
) -> None:
    longest = max(len(excluded) for excluded, _ in batch)
    excluded = np.full((len(batch), longest), PADDING, np.int32)
    for row, (rows, _) in enumerate(batch):
        excluded[row, : len(rows)] = rows
    filters = np.array([each for _, each in batch], np.int32).T
    query = np.random.default_rng(seed).normal(size=(len(batch), DIM))
    query = query.astype(np.float32)
    found = {
        name: [
            each.numpy()
            for each in best(
                query, excluded, width, Filters(*map(tf.constant, filters))
            )
        ]
        for name, best in BEST.items()
    }
    for row, (rows, (genres, first, last)) in enumerate(batch):
        left = _left(set(rows), genres, first, last)
        scores = query[row] @ _embeddings()[:NUM_MOVIES].T
        for name, (best, index) in found.items():
            listed = best[row] > -np.inf
            assert listed.sum() == min(width, len(left)), name
            assert set(index[row][listed]) <= left, name
            assert len(set(index[row][listed])) == listed.sum(), name
            assert (np.diff(best[row][listed]) <= 0).all(), name
            np.testing.assert_allclose(
                best[row][listed], scores[index[row][listed]], rtol=1e-3, atol=1e-3
            )
        ordered = -np.sort(-scores[sorted(left)])[:width]
        for name in ("exact", "all leaves", "int8, all leaves"):
            listed = found[name][0][row][: len(ordered)]
            np.testing.assert_allclose(listed, ordered, rtol=1e-3, atol=1e-3)


def _left(excluded: set[int], genres: int, first: int, last: int) -> set[int]:
    attributes = _attributes(NUM_MOVIES)
    return {
        row
        for row in range(NUM_MOVIES)
        if row not in excluded
        and (not genres or genres & attributes.genres[row])
        and (not first or attributes.years[row] >= first)
        and (not last or 0 < attributes.years[row] <= last)
    }


def test_blocks_and_groups_find_what_one_sort_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With ties, of which the lower row comes first."""
    embeddings = np.round(_embeddings(2000), 0)
    query = np.round(np.random.default_rng(1).normal(size=(5, DIM)) * 2).astype("f")
    excluded = np.arange(5 * 400, dtype=np.int32).reshape(5, 400)
    index = BruteForceIndex(embeddings, _attributes(2000))
    grouped = BruteForceIndex(embeddings, _attributes(2000))
    grouped._grouped = True
    for width in (1, 10, 1600):
        plain = index.best(query, excluded, tf.constant(width))
        with monkeypatch.context() as patch:
            patch.setattr(brute_force, "_MIN_BLOCK", 300)
            patch.setattr(brute_force, "_BLOCK_SCORES", 2000)
            in_blocks = grouped.best(query, excluded, tf.constant(width))
        np.testing.assert_array_equal(plain[0], in_blocks[0])
        np.testing.assert_array_equal(plain[1], in_blocks[1])


@pytest.mark.parametrize("name", ["exact", "ivf"])
def test_broken_embeddings_and_queries_are_never_listed(name: str) -> None:
    embeddings = _embeddings()
    embeddings[7], embeddings[8, 2] = np.nan, np.inf
    attributes = _attributes(NUM_MOVIES)
    exact = BruteForceIndex(embeddings, attributes)
    index: RetrievalIndex = exact if name == "exact" else _ivf(1000, embeddings)
    query = np.ones((2, DIM), np.float32)
    query[1] = np.nan
    nothing = tf.fill([2, 1], PADDING)
    best, rows = index.best(tf.constant(query), nothing, tf.constant(NUM_MOVIES))
    listed = best.numpy() > -np.inf
    assert listed.sum(axis=1).tolist() == [NUM_MOVIES - 2, 0]
    assert not {7, 8} & set(rows.numpy()[listed])


def test_every_movie_is_in_one_leaf_and_the_seed_decides_which() -> None:
    one, same = _ivf(4), _ivf(4)
    rows = one._rows.numpy()
    assert sorted(rows[rows < NUM_MOVIES]) == list(range(NUM_MOVIES))
    assert rows.shape[1] <= 16
    np.testing.assert_array_equal(rows, same._rows.numpy())


def test_int8_embeddings_are_those_that_are_scored() -> None:
    """Half the memory, the same rounded numbers everywhere, the unknown movie's too."""
    index = INDEXES["int8"]
    movies = index.embeddings_of(tf.range(NUM_MOVIES + 1)).numpy()
    np.testing.assert_allclose(movies, _embeddings(), atol=2e-4)
    query = np.random.default_rng(1).normal(size=(3, DIM)).astype("f")
    scores = index.scores(tf.constant(query)).numpy()
    # float32, summed in another order: a score near 0 is a difference of larger ones.
    wanted = query.astype("d") @ movies[:NUM_MOVIES].T.astype("d")
    np.testing.assert_allclose(scores, wanted, rtol=1e-5, atol=1e-5)
    broken = _embeddings()
    broken[7] = np.nan
    index = _ivf(4, broken, FixedPointIvfIndex)
    assert np.isnan(index.scores(tf.constant(query)).numpy()[:, 7]).all()


def test_a_corpus_of_one_movie_or_of_equal_movies_has_an_index() -> None:
    for embeddings in (np.ones((2, DIM), "f"), np.ones((41, DIM), "f")):
        index = _ivf(4, embeddings)
        query, nothing = tf.ones([1, DIM]), tf.fill([1, 1], PADDING)
        width = tf.constant(index.num_movies)
        _, rows = index.best(query, nothing, width)
        assert sorted(rows.numpy()[0]) == list(range(index.num_movies))


def test_few_probes_find_most_of_the_best_movies() -> None:
    queries = np.random.default_rng(2).normal(size=(50, DIM)).astype("f")
    nothing = tf.fill([50, 1], PADDING)
    index = _ivf(14, _embeddings(5000))
    exact = BruteForceIndex(_embeddings(5000), _attributes(5000))
    found, best = (
        each.best(queries, nothing, tf.constant(10))[1].numpy()
        for each in (index, exact)
    )
    shared = [
        len(set(one) & set(other)) for one, other in zip(found, best, strict=True)
    ]
    assert sum(shared) > 0.8 * 500


def test_recall_is_the_share_of_the_exact_list_that_is_found() -> None:
    """Seen movies come as 64-bit integers from Transform; an empty list is found."""
    query = tf.constant(np.random.default_rng(3).normal(size=(4, DIM)), tf.float32)
    seen = np.full((4, NUM_MOVIES), PADDING, np.int64)
    seen[:, :5] = range(5)
    seen[3] = range(NUM_MOVIES)
    scores, rows = EXACT.best(query, tf.cast(seen, tf.int32), tf.constant(10))
    top_ids = tf.where(scores > -float("inf"), rows, PADDING)
    every = INDEXES["all leaves"]
    recall = index_recall(every, query, tf.constant(seen), top_ids)
    assert recall.numpy().tolist() == [[1.0]] * 4
    half = tf.concat([top_ids[:3, :5], [range(5)] * 3], axis=1)
    recall = index_recall(every, query[:3], tf.constant(seen[:3]), half)
    assert recall.numpy().tolist() == [[0.5]] * 3
    assert index_recall(EXACT, query, seen, top_ids).numpy().tolist() == [[1.0]] * 4


def test_recall_is_that_of_short_lists_where_long_ones_are_searched_exactly() -> None:
    index, exact = (
        _ivf(14, _embeddings(5000)),
        BruteForceIndex(_embeddings(5000), _attributes(5000)),
    )
    query = tf.constant(np.random.default_rng(2).normal(size=(50, DIM)), tf.float32)
    nothing = tf.fill([50, 1], PADDING)
    best = exact.best(query, nothing, tf.constant(100))[1].numpy()
    long, short = (
        index.best(query, nothing, tf.constant(k))[1].numpy() for k in (100, 10)
    )
    assert long.tolist() == best.tolist()
    shares = [
        len(set(one) & set(other)) / 10
        for one, other in zip(short, best[:, :10], strict=True)
    ]
    recall = index_recall(index, query, nothing, tf.constant(best)).numpy()[:, 0]
    assert recall.tolist() == pytest.approx(shares) and recall.mean() < 1


def test_auto_chooses_by_the_size_of_the_corpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = (_embeddings(), _attributes(NUM_MOVIES))
    assert make_index(*arguments, IndexConfig(), seed=1).kind == "brute_force"
    monkeypatch.setattr("trainer.retrieval_index._MIN_IVF", NUM_MOVIES)
    assert make_index(*arguments, IndexConfig(), seed=1).kind == "ivf"
    exact = IndexConfig(index="brute_force")
    assert make_index(*arguments, exact, seed=1).kind == "brute_force"


_ASK = """
import sys, numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
query, excluded, width = np.load(sys.argv[2]).values()
best = model.best(tf.constant(query), tf.constant(excluded), tf.constant(width))
np.savez(sys.argv[3], *(each.numpy() for each in best))
"""


def test_a_saved_index_answers_alike_with_tensorflow_alone(tmp_path: Path) -> None:
    index = _ivf(4)
    module = tf.Module()
    module.index = index
    module.best = tf.function(
        index.best,
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, DIM]),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([], tf.int32),
        ],
    )
    tf.saved_model.save(module, str(tmp_path / "model"))
    query = np.random.default_rng(1).normal(size=(3, DIM)).astype("f")
    excluded = np.array([[1, 2, 3], [5, -1, -1], [-1, -1, -1]], np.int32)
    np.savez(tmp_path / "in.npz", query, excluded, np.int32(9))
    files = [str(tmp_path / name) for name in ("model", "in.npz", "out.npz")]
    subprocess.run([sys.executable, "-I", "-c", _ASK, *files], check=True, cwd=tmp_path)
    expected = index.best(tf.constant(query), tf.constant(excluded), tf.constant(9))
    answer = np.load(files[2])
    for one, other in zip(answer.values(), expected, strict=True):
        np.testing.assert_array_equal(one, other)
