"""`two-tower feedback`: from logged impressions and later ratings to a table."""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from pathlib import Path

import pytest

from components.feedback import impressions
from components.feedback.impressions import Impression
from pipeline.serving.client import ModelInfo, PushedModel
from tests.components.feedback.oracle import Rating, expected
from tests.conftest import DAYS, Chain
from tests.fixtures.command import error_line, two_tower
from tests.fixtures.movielens_files import write_csv

NOON = 1_772_000_000
YEAR = 365 * 86_400


def write(folder: Path, user: str, seconds: int, movies: list[str]) -> None:
    at = datetime.datetime.fromtimestamp(NOON + seconds, datetime.timezone.utc)
    scores = [0.0] * len(movies)
    row = Impression(at, f"r{seconds}", 7, "stable", "s", user, 10, movies, scores)
    impressions.write(impressions.file_path(folder, at, 1, 0), [row])


def test_table_and_json_have_the_same_figures(tmp_path: Path) -> None:
    spans = tmp_path / "ratings"
    write_csv(spans / "2026-03-01", [("a", 1, 4, NOON - 9)])
    write_csv(spans / "2026-03-02", [("a", 2, 4, NOON + 9), ("b", 3, 5, NOON + 8)])
    write(tmp_path / "served", "a", 0, ["3", "2"])
    write(tmp_path / "served", "b", 1, ["1", "2"])
    command = ("feedback", "--impressions", "served", "--data-dir", "ratings")
    done = two_tower(*command, "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    (group,) = found["groups"]
    assert group["metrics"]["hit_rate@10"]["value"] == 0.5
    done = two_tower(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0.5000 (" in done.stdout
    for note in found["notes"]:
        assert note in done.stdout
    done = two_tower(*command, "--span", "2026-03-01", cwd=tmp_path)
    assert "The ratings end at 2026-02-25T06:13:11+00:00, before" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        ((), 2, "no folder of impressions is given"),
        (("--impressions", "absent"), 1, "there is no folder of impressions absent"),
        (("--impressions", "data"), 1, "data has no impressions"),
        (("--impressions", "data", "--window-days", "-1"), 2, "feedback.window_days"),
    ],
)
def test_wrong_input_is_named_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], exit_code: int, words: str
) -> None:
    write_csv(tmp_path / "data", [(1, 1, 4, NOON)])
    done = two_tower("feedback", "--data-dir", "data", *arguments, cwd=tmp_path)
    assert words in error_line(done, exit_code)


@pytest.mark.slow  # needs a pushed model
def test_a_model_served_before_a_span_is_judged_by_the_span(
    chain: Chain, tmp_path: Path
) -> None:
    before, after = (_ratings(chain.spans / day) for day in DAYS)
    start = min(rating.time for rating in after)
    served = _serve(chain, before, start)
    for number in range(0, len(served), 50):
        rows = served[number : number + 50]
        impressions.write(impressions.file_path(tmp_path, rows[0].at, 1, number), rows)
    found = json.loads(
        chain.two_tower(
            *("feedback", "--impressions", str(tmp_path), "--json"),
            *("--data-dir", str(chain.spans), "--window-days", "365"),
        ).output
    )
    want = expected(served, before + after, window=YEAR, k=10)[7, "stable"]
    (group,) = found["groups"]
    assert group["with_outcome"] == want["with_outcome"] > 10
    values = {name: metric["value"] for name, metric in group["metrics"].items()}
    assert values["hit_rate@10"] == pytest.approx(sum(want["hit"]) / len(want["hit"]))
    assert values["hit_rate@10"] > 0
    assert values["ndcg@10"] == pytest.approx(sum(want["ndcg"]) / len(want["ndcg"]))
    assert [p["hits"] for p in group["by_position"]] == want["hits"]


def _ratings(folder: Path) -> list[Rating]:
    lines = (folder / "u.data").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    return [Rating(user, movie, float(r), int(t)) for user, movie, r, t in rows]


def _serve(chain: Chain, ratings: list[Rating], start: int) -> list[Impression]:
    """Asks the pushed model for each user, as the user was before a time."""
    (version,) = (chain.workspace / "serving").glob("[0-9]*")
    model = PushedModel(ModelInfo.read(version))
    events = defaultdict(list)
    for rating in ratings:
        events[rating.user].append(rating.movie)
    at = datetime.datetime.fromtimestamp(start, datetime.timezone.utc)
    served = []
    for user, history in events.items():
        answer = model.for_history(history, k=10)
        movies = [movie.movie_id for movie in answer]
        scores = [movie.score for movie in answer]
        row = Impression(at, user, 7, "stable", "x", user, 10, movies, scores)
        served.append(row)
    return served
