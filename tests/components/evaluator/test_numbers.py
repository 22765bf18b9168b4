"""Metrics measured by the Evaluator with TFMA and Beam, against plain Python."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.fixtures.eval_world import (
    MOVIES,
    NUM_RATINGS,
    OLDER_MOVIES,
    ROWS,
    movie_embeddings,
    user_embeddings,
)
from tests.fixtures.example_rows import Row
from tests.fixtures.ranking_oracle import oracle_query, oracle_rank

pytestmark = pytest.mark.slow

UNKNOWN_USERS = [b"u60", b"u61"]
Scores = dict[bytes, list[float]]


def model_scores(movies: Sequence[bytes]) -> Scores:
    """The planted model's scores of each movie, for each user."""
    table = np.stack(list(movie_embeddings(list(movies)).values())).astype(np.float32)
    return {
        user: (table @ vector.astype(np.float32)).tolist()
        for user, vector in user_embeddings().items()
    } | {user: [0.0] * len(movies) for user in UNKNOWN_USERS}


def oracle_means(
    scores: Scores, movies: Sequence[bytes], names: Sequence[str], rows: Sequence[Row]
) -> dict[str, float]:
    """Each metric's mean over the rows' users who have something held out."""
    row_of = {movie: row for row, movie in enumerate(movies)}
    values: dict[str, list[float]] = {name: [] for name in names}
    for row in rows:
        own = scores[row["user_id"][0]]
        seen = {row_of[movie] for movie in row["seen_movie_ids"] if movie in row_of}
        held_out = [row_of.get(m, len(movies)) for m in row["held_out_movie_ids"]]
        ranks = [oracle_rank(own, seen, movie, True) for movie in held_out]
        if ranks:
            for name in names:
                values[name].append(oracle_query(name, ranks, len(movies)))
    return {name: float(np.mean(value)) for name, value in values.items()}


def test_metrics_equal_the_oracle_overall_and_in_slices(world):
    summary, _ = world.evaluate("good")
    popular = {row["user_id"][0]: [float(n) for n in NUM_RATINGS] for row in ROWS}
    parts = [(summary, ROWS)]
    for part in summary["slices"]:
        value = part["features"]["activity"].encode()
        parts.append((part, [row for row in ROWS if row["activity"] == [value]]))
    assert len(parts) == 4
    for part, rows in parts:
        names = list(part["popularity"])
        assert len(names) == 17  # 4 metrics at 4 cut-offs, and mrr
        own = oracle_means(model_scores(MOVIES), MOVIES, names, rows)
        popularity = oracle_means(popular, MOVIES, names, rows)
        for name in names:
            assert part["candidate"][name] == pytest.approx(own[name], rel=1e-12)
            assert part["popularity"][name] == pytest.approx(popularity[name], 1e-12)
            if popularity[name]:
                lift = pytest.approx(own[name] / popularity[name], rel=1e-12)
                assert part["popularity_lift"][name] == lift
            else:
                assert part["popularity_lift"][name] in (None, 0.0)


def test_a_live_model_of_another_vocabulary_is_measured_by_movie_ids(world):
    summary, _ = world.evaluate("good", world.model("older"))
    names = list(summary["popularity"])
    expected = oracle_means(model_scores(OLDER_MOVIES), OLDER_MOVIES, names, ROWS)
    for name in names:
        assert summary["baseline"][name] == pytest.approx(expected[name], rel=1e-12)
    assert summary["baseline"]["ndcg@10"] != summary["candidate"]["ndcg@10"]


def test_queries_without_a_held_out_movie_are_counted_and_left_out(world):
    summary, _ = world.evaluate("good")
    assert (summary["queries"], summary["queries_without_held_out"]) == (61, 1)
    assert [part["queries"] for part in summary["slices"]] == [20, 39, 2]


def test_k_above_the_corpus_shows_every_candidate_and_no_more(world):
    summary, _ = world.evaluate("good")
    # The held-out movie of one user is outside the corpus, that of another was seen.
    assert summary["candidate"]["recall@100"] == pytest.approx(59 / 61)
    assert summary["candidate"]["coverage@100"] == 1.0


def test_a_constant_model_scores_nothing(world):
    summary, _ = world.evaluate("constant", world.model("good"))
    assert summary["candidate"]["recall@1"] == 0  # not 1, as ties for the model give
    assert summary["candidate"]["hit_rate@10"] == 0


def test_nothing_recommended_covers_nothing(world):
    summary, _ = world.evaluate("nan", world.model("good"))
    measured = {**summary["candidate"]}
    assert measured.pop("index_recall") == 1.0  # says nothing of the model
    assert set(measured.values()) == {0.0}


def test_queries_without_candidates_or_a_known_user_are_never_hits(world):
    """An unknown user, and one who has seen every candidate."""
    summary, _ = world.evaluate("good")
    [odd] = [part for part in summary["slices"] if "200+" in part["features"].values()]
    assert odd["queries"] == 2
    for ranker in ("candidate", "popularity"):
        assert odd[ranker]["hit_rate@5"] == 0
    # All scores of the unknown user are equal, which ranks the movie last of all.
    assert odd["candidate"]["mrr"] == pytest.approx(1 / 50 / 2)


@pytest.mark.parametrize("model", ["infinite", "half_nan"])
def test_scores_that_are_not_finite_never_improve_a_metric(world, model):
    whole, _ = world.evaluate("good")
    broken, _ = world.evaluate(model, world.model("good"))
    for name in whole["popularity"]:
        assert broken["candidate"][name] <= whole["candidate"][name]
