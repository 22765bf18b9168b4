from __future__ import annotations

import datetime
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from components.movielens_example_gen import ingest
from pipeline.config import DataConfig
from pipeline.datasets.split_spans import Period, split_spans
from tests.fixtures.movielens_files import write_csv, write_double_colon, write_tab
from trainer.errors import UserError

DAY = 86_400


def test_spans_hold_all_ratings_once_in_order_of_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    rows = [
        (u, m, 4, int(rng.integers(10 * DAY))) for u in range(30) for m in range(1, 6)
    ]
    folder = write_csv(tmp_path / "in", rows)
    text = (folder / "ratings.csv").read_bytes()
    (folder / "ratings.csv").write_bytes(text.rstrip(b"\n"))  # no last line break
    made = split_spans(folder, tmp_path / "out", num_spans=3)
    assert made == [("span-1", 50), ("span-2", 50), ("span-3", 50)]
    whole = ingest.prepare(folder, DataConfig()).summary()
    spans = ingest.prepare(tmp_path / "out", DataConfig()).summary()
    assert spans["spans"] == [1, 2, 3]
    assert {**spans, "spans": []} == {**whole, "spans": []}
    ends = []
    for number in (1, 2, 3):
        config = DataConfig(first_span=str(number), last_span=str(number))
        ratings = ingest.prepare(tmp_path / "out", config).data.ratings
        times = ratings.timestamps[ratings.spans == number - 1]  # older are read, too
        ends += [times.min(), times.max()]
    assert ends == sorted(ends)


def test_days_name_the_folders_and_movies_appear_when_first_rated(
    tmp_path: Path,
) -> None:
    rows = [(1, 1, 4, 5 * DAY), (1, 2, 4, 5 * DAY + 9), (2, 3, 4, 11 * DAY)]
    folder = write_csv(tmp_path / "in", rows)
    made = split_spans(folder, tmp_path / "out", days=2)
    assert made == [("1970-01-07", 2), ("1970-01-13", 1)]
    first, second = (
        (tmp_path / "out" / name / "movies.csv").read_text().splitlines()
        for name, _ in made
    )
    assert [line.split(",")[0] for line in first] == ["movieId", *"12456"]
    assert second == ["movieId,title,genres", '3,"Movie 3, The (1903)",Drama']


@pytest.mark.parametrize("write", [write_tab, write_double_colon])
def test_other_families_are_cut_too(tmp_path: Path, write: object) -> None:
    rows = [(1, 1, 4, 10), (2, 1, 4, 20), (1, 2, 4, 30), (2, 2, 4, 40)]
    folder = write(tmp_path / "in", rows)  # type: ignore[operator]
    split_spans(folder, tmp_path / "out", num_spans=2)
    data = ingest.prepare(tmp_path / "out", DataConfig()).data
    assert data.num_read == 4
    assert data.movies == ingest.prepare(folder, DataConfig()).data.movies
    assert len(data.users) == 2


def test_impossible_cuts_are_refused(tmp_path: Path) -> None:
    folder = write_csv(tmp_path / "in", [(1, m, 4, 7) for m in range(1, 6)])
    with pytest.raises(UserError, match="too few different times"):
        split_spans(folder, tmp_path / "out", num_spans=2)
    with pytest.raises(UserError, match="exists"):
        split_spans(folder, folder, num_spans=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_spans_are_not_split_again(tmp_path: Path) -> None:
    rows = [(u, 1, 4, 10 * u) for u in range(1, 5)]
    split_spans(write_csv(tmp_path / "in", rows), tmp_path / "out", num_spans=2)
    with pytest.raises(UserError, match="holds spans already"):
        split_spans(tmp_path / "out", tmp_path / "again", num_spans=2)


def test_bad_rows_are_refused_under_every_policy(tmp_path: Path) -> None:
    folder = write_csv(tmp_path / "in", [(1, 1, 4, 7), (1, 2, 99, 8), (1, 3, 4, 9)])
    config = DataConfig(on_bad_row="quarantine", max_quarantined_fraction=0.9)
    with pytest.raises(UserError, match="line 3: rating 99"):
        split_spans(folder, tmp_path / "out", num_spans=2, config=config)


def test_parts_of_an_edition_are_parts_of_every_span(tmp_path: Path) -> None:
    """A span may lack movies of a part, and parts differ in their columns' order."""
    rows = [(u, m, 4, 10 * m + u) for u in range(3) for m in range(1, 9)]
    folder = write_csv(tmp_path / "in", rows, list(range(1, 31)))
    for name in ("movies", "ratings"):
        path = folder / f"{name}.csv"
        head, *lines = path.read_bytes().splitlines(keepends=True)
        half = len(lines) // 2
        for number, part in enumerate((lines[:half], lines[half:])):
            name_of_part = f"{name}-0000{number}-of-00002.csv"
            (folder / name_of_part).write_bytes(head + b"".join(part))
        path.unlink()
    (folder / "ratings-00001-of-00002.csv").write_bytes(
        b"rating,userId,movieId,timestamp\n5,7,8,90\n5,7,1,91\n5,7,2,92\n"
    )
    split_spans(folder, tmp_path / "out", num_spans=3)
    whole, spans = (
        ingest.prepare(path, DataConfig()) for path in (folder, tmp_path / "out")
    )
    assert spans.data.movies == whole.data.movies
    assert spans.summary()["ratings"] == whole.summary()["ratings"]
    assert whole.data.num_read == 15


def test_there_may_be_more_spans_than_open_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    rows = [(u, m, 4, m * 30 * DAY + u * DAY) for u in range(10) for m in range(1, 9)]
    folder = write_csv(tmp_path / "in", rows, list(range(1, 9)))
    monkeypatch.setattr("pipeline.datasets.split_spans._LINES_AT_ONCE", 20)
    most = max(map(int, os.listdir("/proc/self/fd"))) + 40
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, limits[1]))
    try:
        made = split_spans(folder, tmp_path / "out", days=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(made) == 80
    assert ingest.prepare(tmp_path / "out", DataConfig()).data.num_read == 80


@pytest.mark.parametrize(
    ("every", "names"),
    [
        ("week", ["1970-01-04", "1970-01-11", "1970-03-01", "1971-01-03"]),
        ("month", ["1970-01-31", "1970-02-28", "1970-12-31"]),
        ("year", ["1970-12-31"]),
    ],
)
def test_spans_can_be_those_of_the_calendar(
    tmp_path: Path, every: Period, names: list[str]
) -> None:
    days = [0, 3.99, 4, 58.99, 364.99]  # Thursday, Sunday, Monday, 28 February
    rows = [(1, m, 4, int(day * DAY)) for m, day in enumerate(days, start=1)]
    folder = write_csv(tmp_path / "in", rows)
    made = split_spans(folder, tmp_path / "out", every=every)
    assert [name for name, _ in made] == names
    assert sum(count for _, count in made) == len(rows)


def test_all_before_a_day_can_be_one_span(tmp_path: Path) -> None:
    rows = [(1, m, 4, day * DAY) for m, day in enumerate((1, 40, 70, 100), start=1)]
    folder = write_csv(tmp_path / "in", rows)
    start = datetime.date(1970, 3, 5)  # within a month, which stays whole
    made = split_spans(folder, tmp_path / "out", every="month", start=start)
    assert made == [("1970-02-28", 2), ("1970-03-31", 1), ("1970-04-30", 1)]
    early = datetime.date(1960, 1, 1)
    assert len(split_spans(folder, tmp_path / "2", every="month", start=early)) == 4
