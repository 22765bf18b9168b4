"""Which spans a retraining is for."""

from __future__ import annotations

import datetime
import gzip
from pathlib import Path

import pytest

from components.movielens_example_gen import ingest
from components.movielens_example_gen.config import ExampleGenConfig
from pipeline.config import DataConfig
from pipeline.retraining.outcome import Outcome, Status
from pipeline.retraining.records import newest_trained
from pipeline.retraining.span_checks import unfit
from pipeline.retraining.spans import Spans, Wanted, choose
from pipeline.runs.workspace import Workspace
from tests.fixtures.movielens_files import Rating, write_csv
from trainer.errors import UserError

TODAY = datetime.date(2026, 3, 10)
ROWS = [(1, 2, 4.0, 100), (2, 3, 5.0, 101)]


def spans_of(folder: Path, *names: str) -> Spans:
    for name in names:
        (folder / name).mkdir()
    return Spans.of(folder, ExampleGenConfig())


def named(spans: Spans, chosen: list[int]) -> list[str]:
    return [spans.name(span) for span in chosen]


def test_one_span_is_the_newest_or_the_one_that_was_named(tmp_path: Path) -> None:
    spans = spans_of(tmp_path, "span-1", "span-2", "span-10")
    assert choose(spans, Wanted(), None, TODAY) == [10]
    assert choose(spans, Wanted("2"), 1, TODAY) == [2]
    # That it is missing is for the run to say, which knows what may be missing.
    assert choose(spans, Wanted("11"), 10, TODAY) == [11]


def test_catching_up_goes_through_what_was_missed_in_order(tmp_path: Path) -> None:
    spans = spans_of(tmp_path, "span-1", "span-2", "span-3", "span-10")
    everything = Wanted(catch_up="all")
    assert choose(spans, everything, None, TODAY) == [1, 2, 3, 10]
    assert choose(spans, everything, 2, TODAY) == [3, 10]
    assert choose(spans, Wanted("3", "all"), 1, TODAY) == [2, 3]
    assert choose(spans, Wanted(catch_up="newest"), 1, TODAY) == [10]
    # Late or rewritten data is found by looking at the newest again.
    assert choose(spans, everything, 10, TODAY) == [10]


def test_days_are_named_by_their_date(tmp_path: Path) -> None:
    spans = spans_of(tmp_path, "2026-03-01", "2026-03-04", "2026-03-09")
    trained = spans.number_of_name("2026-03-01")
    found = choose(spans, Wanted("2026-03-10", "all"), trained, TODAY)
    assert named(spans, found) == ["2026-03-04", "2026-03-09", "2026-03-10"]
    assert spans.setting(found[0]) == "2026-03-04"
    # A record from when spans had numbers.
    assert spans.number_of_name("span-3") is None


def test_spans_of_another_numbering_do_not_count_as_trained_on(
    tmp_path: Path,
) -> None:
    """Else days, which are large numbers, would make every span an old one."""
    spans = spans_of(tmp_path, "span-1", "span-2")
    workspace = Workspace.open(tmp_path / "ws", create=True)
    workspace.metadata_db.write_text("damaged: it is not asked")
    days, numbers = (
        Outcome(Status.PUSHED, "any", "", "", 1.0, span=span, run_id="a")
        for span in ("2026-03-01", "span-1")
    )
    assert newest_trained([days], workspace, spans) is None
    assert newest_trained([days, numbers], workspace, spans) == 1


def test_a_span_from_the_future_is_refused_or_passed_over(tmp_path: Path) -> None:
    spans = spans_of(tmp_path, "2026-03-09", "2026-03-11", "2062-03-10")
    # It is the eleventh already somewhere.
    assert named(spans, choose(spans, Wanted(), None, TODAY)) == ["2026-03-11"]
    with pytest.raises(UserError, match="2062-03-10 is in the future: today is 2026"):
        choose(spans, Wanted("2062-03-10"), None, TODAY)


def test_a_clock_that_went_back_makes_all_spans_the_future(tmp_path: Path) -> None:
    spans = spans_of(tmp_path, "2026-03-09")
    with pytest.raises(UserError, match="set the clock of this machine"):
        choose(spans, Wanted(), None, datetime.date(1970, 1, 1))


def test_a_number_is_no_day(tmp_path: Path) -> None:
    spans = spans_of(tmp_path, "2026-03-09")
    with pytest.raises(UserError, match="does not fit"):
        choose(spans, Wanted("12"), None, TODAY)


def test_a_span_without_a_row_is_unfit(tmp_path: Path) -> None:
    write_csv(tmp_path / "span-1", ROWS)
    write_csv(tmp_path / "span-2", [])
    spans = Spans.of(tmp_path, ExampleGenConfig())
    assert unfit(spans, 1) is None
    assert "span-2 has no ratings" in str(unfit(spans, 2))
    packed = tmp_path / "span-2" / "ratings.csv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "span-2/ratings.csv").read_bytes()))
    (tmp_path / "span-2" / "ratings.csv").unlink()
    assert "is without a row" in str(unfit(spans, 2))


def test_a_span_with_the_ratings_of_the_one_before_is_unfit(tmp_path: Path) -> None:
    write_csv(tmp_path / "span-1", ROWS)
    write_csv(tmp_path / "span-4", ROWS, movies=())
    spans = Spans.of(tmp_path, ExampleGenConfig())
    assert unfit(spans, 4) == ("span-4 has the same ratings as span-1, byte for byte")
    write_csv(tmp_path / "span-4", [*ROWS, (3, 1, 1.0, 102)])
    assert unfit(spans, 4) is None


def test_a_span_without_files_is_left_to_the_run(tmp_path: Path) -> None:
    spans = spans_of(tmp_path, "span-1")
    assert unfit(spans, 1) is None and unfit(spans, 2) is None


OLD_ROWS = [
    (user, movie, 4.0, user * 100 + movie) for user in range(5) for movie in range(1, 5)
]


@pytest.mark.parametrize(
    ("users", "movies", "num_users"),
    [(range(5), (), 5), (range(50, 55), (), 10), (range(5), (1, 2), 5)],
    ids=["known users", "unknown users", "a movies file that drops movies"],
)
def test_a_new_span_adds_to_what_is_known_and_takes_nothing_away(
    tmp_path: Path, users: range, movies: tuple[int, ...], num_users: int
) -> None:
    write_csv(tmp_path / "span-1", OLD_ROWS)
    new = [(u, movie, 3.0, 10_000 + movie) for u in users for movie in (4, 5, 6)]
    write_csv(tmp_path / "span-2", new, movies=movies)
    summary = ingest.prepare(tmp_path, DataConfig()).summary()
    assert summary["spans"] == [1, 2]
    assert (summary["users"], summary["movies"]) == (num_users, 6)
    # Of each user the newest event is held out.
    assert summary["ratings"]["eval"] == num_users


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ((1, 2, 9, 20_000), "rating 9 is not on the edition's scale"),
        ((1, 2, 4.0, 9_000_000_000), "timestamp 9000000000 is in the future"),
        ((1, 99, 4.0, 20_000), "movie 99 is in no movies file"),
    ],
)
def test_a_bad_row_of_a_span_is_named(tmp_path: Path, row: Rating, cause: str) -> None:
    write_csv(tmp_path / "span-1", OLD_ROWS)
    write_csv(tmp_path / "span-2", [row], movies=())
    with pytest.raises(UserError, match=rf"span-2/ratings.csv line 2: {cause}"):
        ingest.prepare(tmp_path, DataConfig())
