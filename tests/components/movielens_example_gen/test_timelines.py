from __future__ import annotations

import numpy as np
import pytest

from components.movielens_example_gen import timelines
from components.movielens_example_gen.tables import Ratings, sorted_unique
from components.movielens_example_gen.timelines import Timelines
from pipeline.config import DataConfig
from tests.fixtures.movielens_files import Rating


def ratings_of(rows: list[Rating], spans: list[int] | None = None) -> Ratings:
    users, movies, stars, times = zip(*rows, strict=True)
    user_ids, user_codes = sorted_unique([str(u).encode() for u in users])
    movie_ids, movie_codes = sorted_unique([str(m).encode() for m in movies])
    return Ratings(
        user_codes,
        movie_codes,
        np.array(stars, np.float32),
        np.array(times, np.int64),
        np.array(spans or [0] * len(rows), np.int32),
        user_ids,
        movie_ids,
    )


def as_dict(lines: Timelines, part: str) -> dict[bytes, list[tuple[bytes, float, int]]]:
    events = getattr(lines, part)
    return {
        user: [
            (
                lines.movie_ids[events.movies[i]],
                float(events.ratings[i]),
                int(events.timestamps[i]),
            )
            for i in range(events.starts[row], events.starts[row + 1])
        ]
        for row, user in enumerate(lines.user_ids)
    }


def test_leave_last_n_holds_out_the_latest_events() -> None:
    rows = [("a", m, 3, 100 - m) for m in range(5)] + [("b", m, 3, m) for m in range(4)]
    lines = timelines.build(ratings_of(rows), DataConfig(holdout=2, min_user_ratings=4))
    assert as_dict(lines, "held_out")[b"a"] == [(b"1", 3.0, 99), (b"0", 3.0, 100)]
    assert as_dict(lines, "train")[b"b"] == [(b"0", 3.0, 0), (b"1", 3.0, 1)]
    assert lines.counts["eval"] == 4


def test_ties_are_broken_by_the_hash_and_not_by_order_or_id() -> None:
    rows: list[Rating] = [(u, m, 3, 7) for u in range(40) for m in range(10)]
    lines = timelines.build(ratings_of(rows), DataConfig())
    again = timelines.build(ratings_of(rows[::-1]), DataConfig())
    assert as_dict(lines, "held_out") == as_dict(again, "held_out")
    last = {events[0][0] for events in as_dict(lines, "held_out").values()}
    assert len(last) > 5  # neither the first nor the last id, nor one for all users


def test_no_training_event_is_later_than_the_held_out_one() -> None:
    rng = np.random.default_rng(3)
    rows: list[Rating] = [
        (u, m, 3, int(rng.integers(5))) for u in range(50) for m in range(8)
    ]
    lines = timelines.build(ratings_of(rows), DataConfig())
    held_out = as_dict(lines, "held_out")
    for user, events in as_dict(lines, "train").items():
        assert max(e[2] for e in events) <= min(e[2] for e in held_out[user])


def test_of_duplicates_the_latest_stays_and_a_newer_span_wins_a_tie() -> None:
    rows: list[Rating] = [
        ("a", 1, 5, 10),
        ("a", 1, 2, 30),  # the latest
        ("a", 1, 4, 20),
        ("a", 2, 5, 10),
        ("a", 2, 1, 10),  # as late, from the newer span
        ("a", 3, 1, 5),
        ("a", 3, 2, 5),  # all the same: the higher rating
        ("b", 1, 3, 1),
    ]
    kept, gone = timelines.drop_duplicates(ratings_of(rows, [0, 0, 0, 0, 1, 0, 0, 0]))
    assert gone == 4
    assert sorted(zip(kept.movies.tolist(), kept.ratings.tolist(), strict=True)) == [
        (0, 2.0),
        (0, 3.0),
        (1, 1.0),
        (2, 2.0),
    ]


def test_temporal_cut_sends_equal_times_to_one_side_and_reports_the_cold() -> None:
    rows: list[Rating] = [("old", m, 3, 10 + m) for m in range(8)]
    rows += [("both", m, 3, t) for m, t in enumerate((10, 11, 50, 50, 50))]
    rows += [("new", m, 3, 60) for m in (0, 1, 9)]
    lines = timelines.build(
        ratings_of(rows), DataConfig(split="temporal_global", eval_start=50)
    )
    assert set(lines.user_ids) == {b"old", b"both", b"new"}
    assert [e[2] for e in as_dict(lines, "held_out")[b"both"]] == [50, 50, 50]
    assert as_dict(lines, "held_out")[b"old"] == []
    assert as_dict(lines, "train")[b"new"] == []
    assert len(as_dict(lines, "held_out")[b"new"]) == 3
    assert lines.counts["cold_users"] == 1
    assert lines.counts["filtered"] == 0
    by_share = timelines.build(
        ratings_of(rows), DataConfig(split="temporal_global", holdout_fraction=0.3)
    )
    assert by_share.held_out.timestamps.min() == 50
    assert by_share.train.timestamps.max() < 50


def test_random_split_follows_the_seed_and_the_fraction_only() -> None:
    rows: list[Rating] = [(u, m, 3, m) for u in range(100) for m in range(50)]
    config = DataConfig(split="random", holdout_fraction=0.2)
    lines = timelines.build(ratings_of(rows), config)
    assert lines.counts["eval"] == pytest.approx(1000, rel=0.1)
    again = timelines.build(ratings_of(rows[::-1]), config)
    assert as_dict(lines, "held_out") == as_dict(again, "held_out")
    other = timelines.build(
        ratings_of(rows), DataConfig(split="random", holdout_fraction=0.2, seed=1)
    )
    assert as_dict(lines, "held_out") != as_dict(other, "held_out")


def test_filters_are_counted_apart() -> None:
    rows: list[Rating] = [("a", m, 5, m) for m in range(4)]
    rows += [("a", 9, 2, 9), ("b", 1, 5, 1), ("b", 2, 5, 2), ("b", 3, 1, 3)]
    lines = timelines.build(ratings_of(rows), DataConfig(min_rating=3))
    assert lines.user_ids.tolist() == [b"a"]
    assert lines.counts["filtered_by_rating"] == 2
    assert lines.counts["filtered_short_timelines"] == 2
