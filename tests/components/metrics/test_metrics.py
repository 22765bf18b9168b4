"""Each metric's NumPy form against its formula, one user and one movie at a time."""

from __future__ import annotations

import doctest
import itertools
import math
import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from components.metrics import (
    AccuracyMetric,
    CutoffMetric,
    Ranks,
    base,
    default_metric_names,
    metric_named,
)
from components.metrics.coverage import Coverage
from tests.fixtures.query_batches import batch_of, compute
from tests.fixtures.ranking_oracle import oracle_query

KS = (1, 3, 10)
NAMES = default_metric_names(KS)
ACCURACY = [n for n in NAMES if isinstance(metric_named(n), AccuracyMetric)]


_RANKS = st.lists(
    st.lists(st.integers(0, 21), max_size=4).filter(any), min_size=1, max_size=5
)


@given(ranks=_RANKS, corpus_size=st.integers(1, 20))
def test_accuracy_equals_the_oracle(ranks, corpus_size):
    ranks = [[min(rank, corpus_size + 1) for rank in row] for row in ranks]
    halves = ranks[: len(ranks) // 2], ranks[len(ranks) // 2 :]
    batches = [batch_of(half, corpus_size) for half in halves if half]
    for name in ACCURACY:
        expected = [oracle_query(name, row, corpus_size) for row in ranks]
        value = metric_named(name).value(batch_of(ranks, corpus_size))
        np.testing.assert_allclose(value, expected, rtol=1e-14, err_msg=name)
        of_halves = compute(name, *batches)[name]
        assert of_halves == pytest.approx(np.mean(expected), 1e-14), name


@pytest.mark.parametrize(
    ("name", "ranks", "expected"),
    [
        ("hit_rate@3", [[3]], 1.0),
        ("hit_rate@3", [[4]], 0.0),
        ("recall@3", [[1, 2, 3, 4]], 1.0),  # min(k, held-out) in the denominator
        ("recall@10", [[1, 11]], 0.5),
        ("ndcg@10", [[2]], 1 / math.log2(3)),
        ("ndcg@10", [[1, 2]], 1.0),
        ("map@10", [[1, 3]], (1 + 2 / 3) / 2),
        ("map@10", [[2, 2]], (1 / 2 + 2 / 2) / 2),  # a tie, no better than either order
        ("mrr", [[4, 2]], 0.5),
        ("mrr", [[1], [4]], 0.625),  # macro over users
    ],
)
def test_known_values(name, ranks, expected):
    value = compute(name, batch_of(ranks, 50))[name]
    assert value == pytest.approx(expected, 1e-14)


@pytest.mark.parametrize("name", ACCURACY)
def test_a_movie_that_cannot_be_shown_is_no_hit_even_for_k_above_the_corpus(name):
    assert compute(name, batch_of([[3]], corpus_size=2))[name] == 0


@given(order=st.permutations(range(6)), start=st.integers(0, 4), size=st.integers(2, 6))
def test_a_tie_is_never_worth_more_than_any_order_of_it(order, start, size):
    # These movies share a score: each gets the rank of the last of them.
    tied = order[start : start + size]
    held_out = (0, 1, 2)
    rank_of = {movie: rank for rank, movie in enumerate(order, 1)}
    ranks = [rank_of[movie] for movie in tied]
    batch = [[ranks[-1] if m in tied else rank_of[m] for m in held_out]]
    for permuted in itertools.permutations(tied):
        actual = rank_of | dict(zip(permuted, ranks, strict=True))
        batch.append([actual[movie] for movie in held_out])
    queries = batch_of(batch, 6)
    for name in ACCURACY:
        value, *others = metric_named(name).value(queries)
        assert value <= min(others) + 1e-12, name


def test_coverage_is_the_union_over_users():
    top_ids = [[0, 1, 2], [0, 3, -1]]
    batch = batch_of([[1], [1]], 8, top_ids=top_ids)
    assert compute("coverage@1", batch)["coverage@1"] == 1 / 8
    assert compute("coverage@3", batch)["coverage@3"] == 4 / 8
    parts = [batch_of([[1]], 8, top_ids=[row]) for row in top_ids]
    assert compute("coverage@3", *parts)["coverage@3"] == 4 / 8


def test_novelty_is_the_mean_over_what_is_shown():
    batch = batch_of(
        [[1], [1], [1]],
        8,
        top_ids=[[0, 1, 2], [3, -1, -1], [-1, -1, -1]],
        top_self_information=[[1.0, 2.0, 6.0], [4.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    )
    assert compute("novelty@1", batch)["novelty@1"] == 5 / 3
    assert compute("novelty@3", batch)["novelty@3"] == 7 / 3


@pytest.mark.parametrize("name", ["genre_diversity", "genre_divergence"])
def test_genres_are_those_of_the_beginning_of_the_list(name):
    values = {name: [[0.0, 0.5, 0.25], [0.0, 1.0, 0.75]]}
    top_ids = [[0, 1, 2], [2, 1, 0]]
    batch = batch_of([[1], [1]], 8, top_ids=top_ids, **values)
    assert compute(f"{name}@2", batch)[f"{name}@2"] == 0.75
    assert compute(f"{name}@3", batch)[f"{name}@3"] == 0.5
    assert math.isnan(compute(f"{name}@4", batch)[f"{name}@4"])
    whole = batch_of([[1], [1]], 3, top_ids=top_ids, **values)
    assert compute(f"{name}@10", whole)[f"{name}@10"] == 0.5


def test_an_interval_ends_at_one_only_where_values_do():
    means = [m for m in map(metric_named, NAMES) if isinstance(m, base.MeanMetric)]
    unbounded = {m.name.partition("@")[0] for m in means if not m.is_fraction}
    assert unbounded == {"novelty", "genre_divergence"}


def test_interaction_recall_counts_events_and_not_users():
    batch = batch_of([[1, 2, 9], [4]], 20)
    assert compute("interaction_recall@3", batch)["interaction_recall@3"] == 2 / 4
    parts = batch_of([[1, 2, 9]], 20), batch_of([[4]], 20)
    whole = compute("interaction_recall@3", batch)
    assert compute("interaction_recall@3", *parts) == whole
    # By hand: (hits - share * events) is (0.5, -0.5).
    error = math.sqrt(2 * (0.5**2 + 0.5**2)) / 4
    assert whole["interaction_recall@3/standard_error"] == pytest.approx(error)


class OwnMetric(CutoffMetric):
    """A user's metric: twice the hit rate."""

    base_name = f"{__name__}.OwnMetric"

    def value(self, batch: Ranks) -> np.ndarray:
        return 2.0 * batch.hits(self.k).any(axis=1)


def test_a_metric_of_ones_own_is_found_by_its_path():
    name = f"{__name__}.OwnMetric@3"
    assert compute(name, batch_of([[1], [9]], 20))[name] == 1.0
    with pytest.raises(ValueError, match="nobody.It cannot be imported: No module"):
        metric_named("nobody.It@3")


def test_index_recall_is_a_mean_over_users():
    batch = batch_of([[1], [3]], corpus_size=10, index_recall=[1.0, 0.75])
    other = batch_of([[1]], corpus_size=10, index_recall=[0.5])
    assert compute("index_recall", batch, other)["index_recall"] == 0.75


@pytest.mark.parametrize("base", ["coverage", "novelty"])
def test_a_list_shorter_than_k_is_unknown_unless_the_corpus_is_as_short(base):
    changes = {"top_ids": [[0, 1]], "top_self_information": [[1.0, 1.0]]}
    name = f"{base}@3"
    longer, short = batch_of([[1]], 9, **changes), batch_of([[1]], 2, **changes)
    assert math.isnan(compute(name, longer)[name])
    assert compute(name, short)[name] == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_names_round_trip(name):
    assert metric_named(name).name == name


@pytest.mark.parametrize(
    "name", ["ndcg", "ndcg@0", "auc@5", "popularity/mrr", "ndcg@10 "]
)
def test_an_unknown_name_lists_what_is_allowed(name):
    with pytest.raises(
        ValueError, match=r"Unknown metric '.*': use mrr, index_recall, hit_rate@k"
    ):
        metric_named(name)


def test_the_error_of_coverage_is_the_jackknifes():
    top_ids = np.array([[0, 1], [0, 2], [3, 4], [0, -1]], np.int32)

    def batch(rows: np.ndarray) -> base.QueryBatch:
        return batch_of([[1]] * len(rows), 10, top_ids=rows)

    metric = Coverage(2)
    state = metric.merge(
        metric.add(metric.start(), batch(top_ids[:1])),
        metric.add(metric.add(metric.start(), batch(top_ids[1:2])), batch(top_ids[2:])),
    )
    assert metric.value(state) == 0.5
    without = [
        len(set(np.delete(top_ids, user, axis=0).ravel().tolist()) - {-1}) / 10
        for user in range(4)
    ]
    jackknife = math.sqrt(3 / 4 * ((without - np.mean(without)) ** 2).sum())
    assert metric.standard_error(state) == pytest.approx(jackknife)


def test_the_example_of_a_users_metric_is_right():
    found = doctest.testmod(base)
    assert found.attempted > 0 and not found.failed


def test_metrics_are_imported_without_tfx_or_tensorflow():
    code = "import sys, components.metrics; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(found.stdout.split())
    assert "components.metrics.ndcg" in loaded
    assert not loaded & {"tensorflow", "tfx", "apache_beam"}
