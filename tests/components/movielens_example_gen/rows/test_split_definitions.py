"""Rows of random data against a slow reading of what the splits are defined as."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.movielens_example_gen.tables import as_ids, mix
from pipeline.config import DataConfig
from tests.components.movielens_example_gen.rows.test_examples import rows_of
from tests.fixtures.movielens_files import write_csv
from trainer import features as f
from trainer.id_hashes import hash_ids

MOVIES = range(1, 10)
# (user, movie, stars, time, span): few of each, so that many times are equal, movies
# are rated in several spans, and newer spans hold older ratings.
RATINGS = st.lists(
    st.tuples(
        st.sampled_from("abcde"),
        st.sampled_from(MOVIES),
        st.sampled_from([1.0, 2.0, 3.5, 5.0]),
        st.integers(1, 30),
        st.integers(1, 4),
    ),
    min_size=8,
    max_size=60,
    unique_by=lambda row: (row[0], row[1], row[4]),
)
CONFIGS = st.builds(
    DataConfig,
    split=st.sampled_from(["leave_last_n", "temporal_global", "random"]),
    min_rating=st.sampled_from([0.0, 3.0]),
    min_user_ratings=st.sampled_from([3, 4]),
    holdout=st.sampled_from([1, 2]),
    holdout_fraction=st.just(0.3),
    span_window=st.sampled_from([None, 1, 2, 3]),
    missing_spans=st.just("skip"),
    window_length=st.sampled_from([2, 4, 100]),
    window_stride=st.sampled_from([1, 2]),
)
Event = tuple[int, int, bytes, float, int]  # time, hash, movie, stars, span


def timelines_of(rows: list[Any]) -> dict[bytes, list[Event]]:
    """The newest rating of each movie by each user, oldest first."""
    newest: dict[tuple[bytes, bytes], tuple[int, int, float]] = {}
    for user, movie, stars, time, span in rows:
        key = user.encode(), str(movie).encode()
        newest[key] = max(newest.get(key, (-1, 0, 0.0)), (time, span, stars))
    users: dict[bytes, list[Event]] = {}
    for (user, movie), (time, span, stars) in newest.items():
        tie = int(mix(hash_ids(as_ids([user])), hash_ids(as_ids([movie])))[0])
        users.setdefault(user, []).append((time, tie, movie, stars, span))
    return {user: sorted(events) for user, events in users.items()}


def held_out_of(
    trainable: dict[bytes, list[Event]], config: DataConfig, drawn: set[Any]
) -> dict[bytes, list[bytes]]:
    """The movies held out of each user; what a random split draws is given."""
    times = sorted(event[0] for events in trainable.values() for event in events)
    cut = times[int(len(times) * (1 - config.holdout_fraction))] if times else 0
    is_held_out = {
        "leave_last_n": lambda user, index, event: (
            index >= len(trainable[user]) - config.holdout
        ),
        "temporal_global": lambda user, index, event: event[0] >= cut,
        "random": lambda user, index, event: (user, event[2]) in drawn,
    }[config.split]
    return {
        user: [e[2] for i, e in enumerate(events) if is_held_out(user, i, e)]
        for user, events in trainable.items()
    }


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(RATINGS, CONFIGS)
def test_rows_are_what_the_splits_are_defined_as(
    scratch: Path, ratings: list[Any], config: DataConfig
) -> None:
    spans = sorted({row[4] for row in ratings})
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        for span in spans:
            rows = [row[:4] for row in ratings if row[4] == span]
            write_csv(folder / "in" / f"span-{span}", rows, list(MOVIES))
        found = rows_of(folder / "in", folder, config)
    users = timelines_of(ratings)
    first = spans[-(config.span_window or len(spans)) :][0]
    trainable = {
        user: [e for e in events if e[3] >= config.min_rating and e[4] >= first]
        for user, events in users.items()
    }
    trainable = {
        user: events
        for user, events in trainable.items()
        if len(events) >= config.min_user_ratings
    }
    queries = {row[f.USER_ID][0]: row for row in found[f.EVAL_SPLIT]}
    drawn = {(u, m) for u, row in queries.items() for m in row[f.HELD_OUT_MOVIE_IDS]}
    held_out = held_out_of(trainable, config, drawn)
    assert set(queries) == {user for user, movies in held_out.items() if movies}
    trained = {
        user: [e[2] for e in events if e[2] not in held_out[user]]
        for user, events in trainable.items()
    }
    check_queries(queries, users, held_out, config)
    windows: dict[bytes, list[bytes]] = {}
    for row in found[f.TRAIN_SPLIT]:
        targets = row[f.MOVIE_IDS][row[f.NUM_CONTEXT][0] :]
        windows.setdefault(row[f.USER_ID][0], []).extend(targets)
    assert windows == {user: movies for user, movies in trained.items() if movies}
    counts = Counter(movie for movies in trained.values() for movie in movies)
    for row in found[f.CORPUS_SPLIT]:
        assert row[f.NUM_RATINGS] == [counts[row[f.MOVIE_ID][0]]]
    # Together the splits hold everything that was rated, each movie once.
    known = {row[f.USER_ID][0]: row for row in found[f.KNOWN_SPLIT]}
    for user, events in users.items():
        others = known[user][f.SEEN_MOVIE_IDS] if user in known else []
        served = [*others, *windows.get(user, []), *held_out.get(user, [])]
        assert sorted(served) == sorted(event[2] for event in events)
        liked = [e[2] for e in events if e[3] >= config.min_rating and e[2] in others]
        if user in known:
            assert known[user][f.MOVIE_IDS] == liked[-config.window_length :]


def check_queries(
    queries: dict[bytes, dict[str, list[Any]]],
    users: dict[bytes, list[Event]],
    held_out: dict[bytes, list[bytes]],
    config: DataConfig,
) -> None:
    for user, row in queries.items():
        events, asked_for = users[user], held_out[user]
        assert row[f.HELD_OUT_MOVIE_IDS] == asked_for
        first = next(i for i, event in enumerate(events) if event[2] in asked_for)
        before = events[:first]
        if config.split == "random":
            before = [event for event in events if event[2] not in asked_for]
        seen = [event[2] for event in before]
        assert sorted(row[f.SEEN_MOVIE_IDS]) == sorted(seen)
        later = {e[2] for e in events} - set(seen) - set(asked_for)
        assert sorted(row[f.LATER_MOVIE_IDS]) == sorted(later)
        liked = [e for e in before if e[3] >= config.min_rating]
        history = liked[-config.window_length :]
        assert row[f.MOVIE_IDS] == [event[2] for event in history]
        assert row[f.RATINGS] == [np.float32(event[3]) for event in history]
        assert row[f.TIMESTAMPS] == [event[0] for event in history]
