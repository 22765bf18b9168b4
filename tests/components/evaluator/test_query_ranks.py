"""The ranks that an evaluation keeps, with TFMA and Beam."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.evaluator.query_ranks import RANKS_FILE, Pairs, QueryRanks
from components.metrics import metric_named
from tests.fixtures.eval_world import ROWS
from trainer.errors import UserError

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


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(50) + b"PAR1"])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RANKS_FILE).write_bytes(content)
    with pytest.raises(UserError, match=f"{RANKS_FILE} cannot be read") as caught:
        QueryRanks.read(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_file_without_a_column_is_one_line(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"user_id": ["1"]}), tmp_path / RANKS_FILE)
    with pytest.raises(UserError, match="cannot be read: .*row"):
        QueryRanks.read(str(tmp_path))
