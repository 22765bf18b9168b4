"""Figures about served recommendations equal those of a plain Python oracle."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.feedback import impressions
from components.feedback.config import FeedbackConfig
from components.feedback.impressions import Impression
from components.feedback.measure import measure
from components.feedback.outcomes import Outcomes
from tests.components.feedback.oracle import Rating, expected

DAY = 86_400
NOON = 1_772_000_000
CONFIG = FeedbackConfig(window_days=7, k=5)


def outcomes(ratings: list[Rating], min_rating: float = 0.0) -> Outcomes:
    users = pa.array([r.user for r in ratings], pa.string()).dictionary_encode()
    movies = pa.array([r.movie for r in ratings], pa.string()).dictionary_encode()
    return Outcomes.of(
        users.indices.to_numpy(),
        movies.indices.to_numpy(),
        np.array([r.time for r in ratings], np.int64),
        np.array([r.rating >= min_rating for r in ratings], bool),
        user_ids=users.dictionary,
        movie_ids=movies.dictionary,
    )


def shown(
    user: str,
    seconds: float,
    movies: list[str],
    *,
    version: int = 1,
    label: str = "stable",
    request: str = "",
) -> Impression:
    at = datetime.datetime.fromtimestamp(NOON, datetime.timezone.utc)
    at += datetime.timedelta(seconds=seconds)
    scores = [float(-i) for i in range(len(movies))]
    request = request or f"{user}-{seconds}-{version}"
    return Impression(
        at, request, version, label, "recommend", user, 10, movies, scores
    )


def rated(user: str, seconds: int, movie: str, rating: float = 4.0) -> Rating:
    return Rating(user, movie, rating, NOON + seconds)


def write(folder: Path, *rows: Impression, number: int = 0) -> Path:
    path = impressions.file_path(folder, rows[0].at, 1, number)
    impressions.write(path, rows)
    return path


def only_group(folder: Path, ratings: list[Rating], config=CONFIG):
    (group,) = measure(str(folder), outcomes(ratings), config)["groups"]
    return group


def world(seed: int) -> tuple[list[Impression], list[Rating]]:
    """Impressions and ratings of 60 users in five weeks, ids in several scripts."""
    rng = np.random.default_rng(seed)
    users = [f"{name}{i}" for i, name in enumerate(["ü", "用户", "م", ""] * 15)]
    movies = [f"映{i}" for i in range(30)]
    served = []
    for index in range(700):
        length = int(rng.integers(0, 8))
        served.append(
            shown(
                str(rng.choice([*users, "nobody", ""])),
                float(rng.integers(0, 35 * DAY)) + rng.choice([0.0, 0.25, 0.5]),
                [str(m) for m in rng.choice(movies, length, replace=False)],
                version=int(rng.integers(1, 4)),
                label=str(rng.choice(["stable", "canary"])),
                request=f"r{index}",
            )
        )
    ratings = [
        rated(
            str(rng.choice(users)),
            int(rng.integers(-20 * DAY, 40 * DAY)),
            str(rng.choice(movies)),
            float(rng.integers(1, 6)),
        )
        for _ in range(900)
    ]
    # Some at the very second of an impression.
    ratings += [
        Rating(i.user_id, "映3", 5.0, int(i.at.timestamp()))
        for i in served[:60]
        if i.user_id not in {"", "nobody"}
    ]
    return served, ratings


@pytest.mark.parametrize("bytes_per_part", [1 << 30, 4000])
@pytest.mark.parametrize("min_rating", [0.0, 3.0])
def test_figures_equal_those_of_the_oracle(tmp_path, bytes_per_part, min_rating):
    served, ratings = world(seed=int(min_rating))
    for number, start in enumerate(range(0, len(served), 100)):
        write(tmp_path, *served[start : start + 100], number=number)
    found = measure(
        str(tmp_path),
        outcomes(ratings, min_rating),
        CONFIG,
        bytes_per_part=bytes_per_part,
    )
    want = expected(served, ratings, window=7 * DAY, k=5, min_rating=min_rating)
    assert [(g["version"], g["label"]) for g in found["groups"]] == sorted(want)
    for group in found["groups"]:
        right = want[group["version"], group["label"]]
        for name in ("impressions", "superseded", "with_outcome", "outcomes"):
            assert group[name] == right[name], name
        assert group["users"] == len(right["users"])
        hits, ndcg = (group["metrics"][name] for name in ("hit_rate@5", "ndcg@5"))
        assert hits["value"] == pytest.approx(np.mean(right["hit"]), abs=1e-12)
        assert ndcg["value"] == pytest.approx(np.mean(right["ndcg"]), abs=1e-12)
        assert hits["low"] <= hits["value"] <= hits["high"]
        positions = group["by_position"]
        assert [p["shown"] for p in positions] == right["shown"]
        assert [p["hits"] for p in positions] == right["hits"]
    assert found["anonymous_rows"] == sum(not i.user_id for i in served)
    assert sum(g["of_users_without_ratings"] for g in found["groups"]) == sum(
        i.user_id == "nobody" for i in served
    )
    for pair, one, other in zip(
        found["differences"], found["groups"], found["groups"][1:], strict=False
    ):
        assert pair["metrics"]["ndcg@5"]["value"] == pytest.approx(
            other["metrics"]["ndcg@5"]["value"] - one["metrics"]["ndcg@5"]["value"]
        )


def test_the_last_impression_before_a_rating_is_credited_whatever_it_shows(tmp_path):
    write(tmp_path, shown("u", 0, ["a"]), shown("u", 10, ["b"]), shown("u", 30, ["a"]))
    group = only_group(tmp_path, [rated("u", 20, "a")])
    assert (group["with_outcome"], group["superseded"]) == (1, 1)
    assert group["metrics"]["hit_rate@5"]["value"] == 0.0


def test_the_window_includes_its_last_second(tmp_path):
    write(tmp_path, shown("u", 0, ["a"]), shown("v", 0, ["a"]))
    ratings = [rated("u", 7 * DAY, "a"), rated("v", 7 * DAY + 1, "a")]
    group = only_group(tmp_path, ratings)
    assert (group["with_outcome"], group["superseded"], group["open"]) == (1, 0, 0)


def test_a_movie_that_was_rated_before_is_no_outcome(tmp_path):
    write(tmp_path, shown("u", 0, ["a", "b"]))
    ratings = [rated("u", -5, "a"), rated("u", 5, "a"), rated("u", 6, "b")]
    group = only_group(tmp_path, ratings)
    assert group["outcomes"] == 1
    assert [p["hits"] for p in group["by_position"]] == [0, 1]


def test_an_impression_logged_after_its_rating_has_no_outcome(tmp_path):
    write(tmp_path, shown("u", 100, ["a"]))
    found = measure(str(tmp_path), outcomes([rated("u", 0, "a")]), CONFIG)
    assert found["groups"][0]["with_outcome"] == 0
    assert any("The ratings end at" in note for note in found["notes"])


def test_copied_files_count_once(tmp_path):
    path = write(tmp_path, shown("u", 0, ["a"]), shown("u", 0, ["b"], version=2))
    shutil.copy(path, tmp_path / "copy.parquet")
    found = measure(str(tmp_path), outcomes([rated("u", 1, "a")]), CONFIG)
    assert found["duplicate_rows"] == 2
    assert [g["impressions"] for g in found["groups"]] == [1, 1]
    assert any("2 rows are there twice" in note for note in found["notes"])


def test_a_request_id_used_again_is_another_impression(tmp_path):
    rows = [shown("u", s, ["a"], request="same") for s in (0, 1)]
    write(tmp_path, *rows, shown("v", 0, ["a"], request="same"))
    group = only_group(tmp_path, [rated("u", 5, "a")])
    assert (group["impressions"], group["users"]) == (3, 2)


@pytest.mark.parametrize(
    ("ratings", "words"),
    [
        ([rated("other", 5, "a")], "No user of the impressions has rated anything"),
        ([rated("u", -5, "a")], "The ratings end at 2026-"),
        ([rated("u", 99 * DAY, "a")], "The ratings begin at 2026-"),
        ([rated("u", -5, "a"), rated("u", 9 * DAY, "b")], "within 7 days"),
        ([], "There is no rating"),
    ],
)
def test_why_nothing_can_be_said(tmp_path, ratings, words):
    write(tmp_path, shown("u", 0, ["a"]))
    found = measure(str(tmp_path), outcomes(ratings), CONFIG)
    assert any(words in note for note in found["notes"]), found["notes"]
    (group,) = found["groups"]
    assert group["metrics"]["ndcg@5"] == {"value": None, "low": None, "high": None}


def test_impressions_of_nobody_known_are_counted_alone(tmp_path):
    write(tmp_path, shown("", 0, ["a"]))
    found = measure(str(tmp_path), outcomes([rated("u", 5, "a")]), CONFIG)
    assert found["groups"] == []
    assert any("nothing to judge" in note for note in found["notes"])


def test_times_beyond_the_calendar_are_no_reason_to_fail(tmp_path):
    far = datetime.datetime(9999, 12, 31, tzinfo=datetime.timezone.utc)
    write(tmp_path, shown("u", 0, ["a"])._replace(at=far), shown("u", 0, ["a"]))
    group = only_group(tmp_path, [rated("u", 5, "a")])
    assert (group["impressions"], group["with_outcome"]) == (2, 1)
