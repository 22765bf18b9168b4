"""The ranks that an evaluation keeps, with TFMA and Beam."""

from __future__ import annotations

import pytest

from components.evaluator.query_ranks import Pairs, QueryRanks
from components.metrics import metric_named
from tests.fixtures.eval_world import ROWS

pytestmark = pytest.mark.slow

NAMES = ("mrr", "hit_rate@5", "recall@10", "ndcg@10", "map@100")


def read(evaluated) -> QueryRanks:
    ranks = QueryRanks.read(evaluated.evaluation.uri)
    assert ranks is not None
    return ranks


@pytest.mark.parametrize("live", [None, "older"])
def test_the_ranks_are_those_that_were_measured(world, live):
    """Of the candidate, with and without a live model."""
    evaluated = world.run("good", world.model(live) if live else None)
    ranks = read(evaluated)
    users = [row["user_id"][0].decode() for row in ROWS if row["held_out_movie_ids"]]
    assert ranks.user_id.tolist() == sorted(users)
    for name in NAMES:
        mean = metric_named(name).value(ranks.ranks).mean()
        assert mean == pytest.approx(evaluated.summary["candidate"][name], abs=1e-12)


def test_two_runs_differ_as_a_candidate_from_the_live_model(world):
    """Differences and noise equal those of one evaluation with both models."""
    both = world.run("popular", world.model("good"))
    summary = both.summary
    pairs = Pairs.of(read(world.run("good")), read(both))
    assert pairs.users == pairs.same_rows == summary["queries"]
    for name, difference in pairs.differences(NAMES).items():
        low, high = summary["intervals"]["live_gain"][name]
        assert difference.mean == pytest.approx(summary["live_gain"][name])
        assert 1.959964 * difference.adjusted_error == pytest.approx((high - low) / 2)


def test_without_a_query_there_is_an_empty_file(world):
    evaluated = world.run("good", rows="none")
    assert len(read(evaluated).user_id) == 0
