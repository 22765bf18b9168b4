"""The ranks that an evaluation keeps, by real TFMA and Beam."""

from __future__ import annotations

import pytest

from components.evaluator.query_ranks import Pairs, QueryRanks
from components.metrics import metric_named
from tests.fixtures.eval_world import ROWS

pytestmark = pytest.mark.slow

NAMES = ("mrr", "hit_rate@5", "recall@10", "ndcg@10", "map@100")


def read(judged) -> QueryRanks:
    ranks = QueryRanks.read(judged.evaluation.uri)
    assert ranks is not None
    return ranks


@pytest.mark.parametrize("live", [None, "older"])
def test_the_ranks_are_those_that_were_measured(world, live):
    """Of the candidate, whether or not it was evaluated together with another."""
    judged = world.judge("good", world.model(live) if live else None)
    ranks = read(judged)
    asked = [row["user_id"][0].decode() for row in ROWS if row["held_out_movie_ids"]]
    assert ranks.user_id.tolist() == sorted(asked)
    for name in NAMES:
        mean = metric_named(name).value(ranks.ranks).mean()
        assert mean == pytest.approx(judged.summary["candidate"][name], abs=1e-12)


def test_two_runs_differ_as_a_candidate_from_the_live_model(world):
    """The same noise, too: what one evaluation says of both models."""
    both = world.judge("popular", world.model("good"))
    summary = both.summary
    pairs = Pairs.of(read(world.judge("good")), read(both))
    assert pairs.users == pairs.same_rows == summary["queries"]
    for name, difference in pairs.differences(NAMES).items():
        low, high = summary["intervals"]["live_gain"][name]
        assert difference.mean == pytest.approx(summary["live_gain"][name])
        assert 1.959964 * difference.adjusted_error == pytest.approx((high - low) / 2)


def test_without_a_query_there_is_an_empty_file(world):
    judged = world.judge("good", rows="none")
    assert len(read(judged).user_id) == 0
