from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

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


Event = tuple[bytes, float, int]
KINDS = {
    "train": timelines.TRAIN,
    "held_out": timelines.HELD_OUT,
    "known": timelines.KNOWN,
    "seen": timelines.SEEN,
}


def as_dict(lines: Timelines, kind: str) -> dict[bytes, list[Event]]:
    events = lines.events
    return {
        user: [
            (
                lines.movie_ids[events.movies[i]],
                float(events.ratings[i]),
                int(events.timestamps[i]),
            )
            for i in range(events.starts[row], events.starts[row + 1])
            if events.kinds[i] == KINDS[kind]
        ]
        for row, user in enumerate(lines.user_ids)
    }


def timestamps(lines: Timelines, kind: int) -> NDArray[np.int64]:
    return lines.events.timestamps[lines.events.kinds == kind]


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
    assert timestamps(by_share, timelines.HELD_OUT).min() == 50
    assert timestamps(by_share, timelines.TRAIN).max() < 50


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
    assert as_dict(lines, "train")[b"b"] == as_dict(lines, "held_out")[b"b"] == []
    assert lines.counts["filtered_by_rating"] == 2
    assert lines.counts["filtered_short_timelines"] == 2


def test_what_is_not_trained_on_stays_known_and_seen() -> None:
    rows: list[Rating] = [("a", m, 4, m) for m in range(1, 5)]  # span 1
    rows += [("gone", m, 4, m) for m in range(1, 5)]
    rows += [("a", m, 5, m) for m in range(11, 15)] + [("a", 15, 1, 12)]  # span 2
    rows += [("few", 1, 5, 7)]
    lines = timelines.build(
        ratings_of(rows, [1] * 8 + [2] * 6), DataConfig(min_rating=3), first_span=2
    )
    assert [e[0] for e in as_dict(lines, "known")[b"a"]] == [b"1", b"2", b"3", b"4"]
    assert [e[0] for e in as_dict(lines, "train")[b"a"]] == [b"11", b"12", b"13"]
    assert [e[0] for e in as_dict(lines, "held_out")[b"a"]] == [b"14"]
    assert [e[0] for e in as_dict(lines, "seen")[b"a"]] == [b"15"]
    assert len(as_dict(lines, "known")[b"gone"]) == 4
    assert len(as_dict(lines, "known")[b"few"]) == 1
    assert lines.counts == {
        "duplicate": 0,
        "filtered": 10,
        "filtered_outside_window": 8,
        "filtered_by_rating": 1,
        "filtered_short_timelines": 1,
        "train": 3,
        "eval": 1,
        "cold_users": 0,
        "cold_movie_holdouts": 1,
    }


def test_a_movie_rated_again_as_the_held_out_event_is_not_seen_before() -> None:
    rows: list[Rating] = [("a", m, 4, m) for m in range(1, 5)] + [("a", 1, 5, 9)]
    lines = timelines.build(ratings_of(rows, [1] * 4 + [2]), DataConfig(), 1)
    assert as_dict(lines, "held_out")[b"a"] == [(b"1", 5.0, 9)]
    assert [e[0] for e in as_dict(lines, "train")[b"a"]] == [b"2", b"3", b"4"]


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3),  # user
        st.integers(0, 6),  # movie
        st.sampled_from([1.0, 2.0, 3.5, 5.0]),
        st.integers(0, 5),  # time
        st.integers(1, 3),  # span
    ),
    min_size=1,
    max_size=40,
)


@given(
    EVENTS,
    st.sampled_from(["leave_last_n", "temporal_global", "random"]),
    st.sampled_from([0.0, 3.0]),
    st.integers(1, 3),
)
def test_every_rating_is_trained_on_held_out_known_or_seen(
    rows: list[tuple[int, int, float, int, int]],
    split: str,
    min_rating: float,
    first_span: int,
) -> None:
    config = DataConfig(split=split, min_rating=min_rating, holdout_fraction=0.3)
    lines = timelines.build(
        ratings_of([row[:4] for row in rows], [row[4] for row in rows]),
        config,
        first_span,
    )
    newest: dict[tuple[bytes, bytes], tuple[int, int, float]] = {}
    for user, movie, rating, time, span in rows:
        key = (b"%d" % user, b"%d" % movie)
        newest[key] = max(newest.get(key, (-1, 0, 0.0)), (time, span, rating))
    trainable: dict[bytes, set[bytes]] = {}
    for (user_id, movie_id), (_, span, rating) in newest.items():
        if rating >= min_rating and span >= first_span:
            trainable.setdefault(user_id, set()).add(movie_id)
    found = {kind: as_dict(lines, kind) for kind in KINDS}
    for user_id in {user_id for user_id, _ in newest}:
        used = {e[0] for e in found["train"][user_id] + found["held_out"][user_id]}
        movies = trainable.get(user_id, set())
        assert used == (movies if len(movies) >= config.min_user_ratings else set())
        disliked = {
            m for (u, m), v in newest.items() if u == user_id and v[2] < min_rating
        }
        assert {e[0] for e in found["seen"][user_id]} == disliked
        everything = [e for events in found.values() for e in events[user_id]]
        assert sorted(e[0] for e in everything) == sorted(
            m for u, m in newest if u == user_id
        )
        if split != "random" and found["held_out"][user_id]:
            first = min(e[2] for e in found["held_out"][user_id])
            assert all(e[2] <= first for e in found["train"][user_id])
    counts = lines.counts
    assert counts["duplicate"] + counts["filtered"] + counts["train"] + counts[
        "eval"
    ] == len(rows)
