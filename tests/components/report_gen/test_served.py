"""How served recommendations did, as a section of the report."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

from components.feedback import impressions
from components.feedback.impressions import Impression
from components.report_gen import page
from components.report_gen.served import read_feedback
from tests.fixtures.example_rows import eval_row, train_row, write_examples
from tests.fixtures.report_facts import facts
from trainer import features as f

START = 880_000_000
UTC = datetime.timezone.utc


def make_examples(folder: Path):
    """User u0: dated events of train, eval and known rows, and one without a time."""
    known = {
        f.USER_ID: [b"u0"],
        f.MOVIE_IDS: [b"21"],
        f.RATINGS: [4.0],
        f.TIMESTAMPS: [START + 500],
        f.SEEN_MOVIE_IDS: [b"20", b"21"],
    }
    train = [train_row(0), train_row(1)]
    rows = {f.TRAIN_SPLIT: train, f.EVAL_SPLIT: [eval_row(0)], f.KNOWN_SPLIT: [known]}
    return write_examples(folder, rows)


def serve(folder: Path, user: str, seconds: int, movies: list[str]) -> None:
    at = datetime.datetime.fromtimestamp(START + seconds, UTC)
    scores = [0.0] * len(movies)
    row = Impression(at, user, 17, "<b>", "recommend", user, 10, movies, scores)
    impressions.write(impressions.file_path(folder, at, 1, seconds), [row])


def test_ratings_of_all_splits_judge_what_was_served(tmp_path: Path) -> None:
    examples = make_examples(tmp_path / "examples")
    served = tmp_path / "served"
    serve(served, "u0", 100, ["20", "21"])  # 21 is known to be rated, 20 at no time
    serve(served, "u0", 900, ["9", "5"])  # 5 is held out
    found = read_feedback({"impressions": str(served), "k": 2}, examples)
    assert found is not None
    (group,) = found["groups"]
    assert (group["with_outcome"], group["outcomes"]) == (2, 2)
    assert [p["hits"] for p in group["by_position"]] == [0, 2]
    text = page.render(dataclasses.replace(facts(), feedback=found))
    assert "How served recommendations did" in text
    assert "&lt;b&gt;" in text and "<b>17" not in text
    assert "1.0000" in text


def test_without_the_setting_there_is_no_section(tmp_path: Path) -> None:
    examples = make_examples(tmp_path / "examples")
    assert read_feedback({}, examples) is None
    assert read_feedback({"impressions": None}, examples) is None
    assert "served recommendations" not in page.render(facts())


def test_impressions_that_cannot_be_read_do_not_end_the_report(tmp_path: Path) -> None:
    examples = make_examples(tmp_path / "examples")
    found = read_feedback({"impressions": str(tmp_path / "absent")}, examples)
    assert found is not None
    assert "there is no folder of impressions" in found["error"]
    text = page.render(dataclasses.replace(facts(), feedback=found))
    assert "Not measured: there is no folder" in text


def test_the_fingerprint_changes_with_a_new_file_and_never_fails(
    tmp_path: Path,
) -> None:
    assert impressions.fingerprint(str(tmp_path / "absent")) == ""
    assert impressions.fingerprint(str(tmp_path)) == ""
    serve(tmp_path, "u0", 1, ["1"])
    first = impressions.fingerprint(str(tmp_path))
    serve(tmp_path, "u0", 2, ["1"])
    assert len({"", first, impressions.fingerprint(str(tmp_path))}) == 3
