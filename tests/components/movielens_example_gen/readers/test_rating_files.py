"""Both parsers of ratings files apply the same rules, and no row is lost."""

from __future__ import annotations

import dataclasses
import gzip
import shutil
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from components.movielens_example_gen import ingest
from components.movielens_example_gen.inputs import editions
from components.movielens_example_gen.inputs.editions import Family
from components.movielens_example_gen.readers import rating_files, row_splits
from components.movielens_example_gen.readers.bad_rows import BadRow, BadRows
from components.movielens_example_gen.readers.rating_rows import RowRules
from components.movielens_example_gen.readers.row_splits import (
    RatingsFormat,
    Split,
    split_lines,
)
from pipeline.config import DataConfig
from tests.fixtures.dirty_files import (
    CLEAN_FIELDS,
    FAMILIES,
    ROW_BYTES,
    movies_files,
    rating_rows,
    ratings_files,
)
from tests.fixtures.movielens_files import CSV_HEADER, write_csv
from trainer.errors import UserError
from trainer.movielens import HALF_STARS
from trainer.text import has_control_characters


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all examples: to make one for each takes longer than to read it."""
    return tmp_path_factory.mktemp("scratch")


@given(
    rows=st.lists(rating_rows(editions.CSV).map(",".join), max_size=20),
    split=st.sampled_from(["leave_last_n", "temporal_global", "random"]),
    min_rating=st.sampled_from([0.0, 3.0]),
    end=st.sampled_from(["\n", "", "\r\n"]),
)
def test_every_row_read_is_accounted_for(
    scratch: Path,
    rows: list[str],
    split: str,
    min_rating: float,
    end: str,
) -> None:
    """read = train + eval + filtered + duplicate + quarantined."""
    folder = write_csv(scratch / "counted", [])
    good = [f"9,{m},4,{m}" for m in range(1, 7)]
    lines = [*good, *rows]
    text = CSV_HEADER.decode() + "\n".join(lines) + end
    is_row = [line.strip(" \t\r") != "" for line in text.split("\n")[1:]]
    (folder / "ratings.csv").write_bytes(text.encode())
    config = DataConfig(
        split=split,
        min_rating=min_rating,
        on_bad_row="quarantine",
        max_quarantined_fraction=1.0,
    )
    summary = ingest.prepare(folder, config).summary()
    counts = dict(summary["ratings"])
    assert counts.pop("read") == sum(is_row)
    assert summary["ratings"]["read"] == sum(counts.values())
    assert sum(summary["bad_rows"].values()) == counts["quarantined"]


def _by_lines_alone(block: bytes, layout: RatingsFormat) -> Split:
    return split_lines(block.removesuffix(b"\n").split(b"\n"), layout)


def _read(
    path: Path, family: Family, header: dict[str, str | None] | None = None
) -> tuple[list[dict[str, object]], list[int], list[BadRow], int]:
    """Returns the rows with their lines, the bad rows and the number of rows read."""
    bad = BadRows()
    rules = RowRules(HALF_STARS, latest=2_000_000_000)
    names = {**editions.CSV_HEADER, **(header or {})}
    rows: list[dict[str, object]] = []
    lines: list[int] = []
    num_read = 0
    for block in rating_files.read_ratings_file(path, family, rules, names, bad):
        rows += block.table.to_pylist()
        lines += list(map(int, block.lines))
        num_read += block.num_read
    return rows, lines, bad.rows, num_read


@given(st.data())
def test_many_lines_at_once_are_read_as_line_by_line(
    scratch: Path, data: st.DataObject
) -> None:
    """The same rows, the same bad rows with their lines and reasons, in every family.

    The reader with Arrow, in blocks of any size, is compared with the careful splitter
    alone in one block, plain and compressed.
    """
    family = data.draw(st.sampled_from(FAMILIES))
    content = data.draw(ratings_files(family))
    size = data.draw(st.sampled_from([50, 1 << 20]))
    unread = data.draw(st.sampled_from([{}, {"rating": None}, {"timestamp": None}]))
    path = scratch / "ratings"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rating_files, "split_block", _by_lines_alone)
        expected = _outcome(path, family, unread)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rating_files, "BLOCK_BYTES", size)
        assert _outcome(path, family, unread) == expected
        path.write_bytes(gzip.compress(content))
        assert _outcome(path, family, unread) == expected


def _outcome(path: Path, family: Family, header: dict[str, str | None]) -> object:
    try:
        rows, lines, bad, num_read = _read(path, family, header)
    except UserError as e:
        return str(e)
    assert num_read == len(rows) + len(bad)
    assert lines == sorted(set(lines))
    # Outer blanks of ids are removed when the blocks are joined.
    columns = ("user_id", "movie_id", "rating", "timestamp")
    values = [tuple(str(row[name]).strip() for name in columns) for row in rows]
    return values, lines, bad


@given(
    rows=st.lists(st.tuples(*CLEAN_FIELDS), min_size=1, max_size=20),
    family=st.sampled_from(FAMILIES),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_good_rows_are_read_by_the_fast_parser_alone(
    rows: list[tuple[str, ...]], family: Family, end: str
) -> None:
    block = "".join(family.delimiter.join(row) + end for row in rows).encode()
    layout = RatingsFormat(family, editions.RATING_COLUMNS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_splits, "split_lines", None)
        split = row_splits.split_block(block, layout)
    assert split.texts.num_rows == len(rows) and not split.faults
    assert split.texts["timestamp"].to_pylist() == [int(row[3]) for row in rows]


@given(st.data())
def test_any_folder_is_read_or_refused_in_one_line(
    scratch: Path, data: st.DataObject
) -> None:
    """Also in spans, and compressed: the result is the same."""
    family = data.draw(st.sampled_from(FAMILIES))
    ratings = data.draw(st.one_of(ratings_files(family), ROW_BYTES))
    movies = data.draw(st.one_of(movies_files(family), ROW_BYTES))
    names = {family.ratings[0]: ratings, family.movies[0]: movies}
    if family.users and data.draw(st.booleans()):
        names[family.users[0]] = data.draw(ROW_BYTES)
    # What begins like a gzip file is one: compressing it again makes another file.
    assume(not any(content.startswith(b"\x1f\x8b") for content in names.values()))
    outcomes = []
    for is_compressed, sub in [(False, ""), (True, "span-1")]:
        folder = scratch / "any"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / sub).mkdir(parents=True)
        for name, content in names.items():
            is_gzip = is_compressed and content  # an empty file stays empty
            path = folder / sub / name
            path.write_bytes(gzip.compress(content) if is_gzip else content)
        outcomes.append(_prepared(folder, sub))
    assert outcomes[0] == outcomes[1]


def _prepared(folder: Path, sub: str) -> object:
    config = DataConfig(on_bad_row="quarantine", max_quarantined_fraction=1.0)
    try:
        prepared = ingest.prepare(folder, config)
    except UserError as e:
        assert "\n" not in str(e) and "\x1b" not in str(e)
        return str(e).replace(str(folder / sub), "DATA")
    counts = prepared.summary()["ratings"]
    assert counts["read"] * 2 == sum(counts.values())
    ids = [*prepared.data.movies, *prepared.data.ratings.user_ids.tolist()]
    assert not any(has_control_characters(name.decode()) for name in ids)
    titles = [movie.title for movie in prepared.data.movies.values()]
    assert not any(map(has_control_characters, titles))
    bad = [dataclasses.replace(row, file="") for row in prepared.bad.rows]
    return counts, prepared.data.movies, prepared.data.users, bad


@pytest.mark.parametrize(
    ("family", "block", "num_good"),
    [
        (editions.CSV, b'1,a"b,3,5\n5,3,4,"200\n', 1),  # open quote in the last line
        (editions.CSV, b'1,"2\n3",5,300\n1,2,3,4\n', 1),
        (editions.CSV, b"1,2,3,0x1F\n", 0),
        (editions.CSV, b"1,2,3," + b"0" * 50 + b"7\n", 1),
        (editions.CSV, b"1,2,3,0X1F\n1,2,3,4\n", 1),
        (editions.CSV, b"\xef\xbb\xbf1,2,3,4\n", 0),  # later than at the file's start
        (editions.CSV, b"1,2,3,4\n\n1,2,3,4\n", 2),
        (editions.ML_1M, b"1\x1f2::3::5\n", 0),
        (editions.ML_1M, b"1::2:::3::5\n", 0),
        (editions.TAB, b"\t\t\t\n1\t2\t3\t4\n", 1),
        (editions.ML_10M, b"\xe9::2::3::4\n1::2::3::4\n", 1),
    ],
)
def test_what_arrow_reads_in_its_own_way_is_read_by_the_rules(
    family: Family, block: bytes, num_good: int
) -> None:
    layout = RatingsFormat(family, editions.RATING_COLUMNS)
    rules = RowRules(HALF_STARS, latest=2_000_000_000)
    found = []
    for split in (row_splits.split_block, _by_lines_alone):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rating_files, "split_block", split)
            bad = BadRows()
            read = rating_files.read_block(
                Path("f"), 1, block, layout=layout, rules=rules, bad=bad
            )
        assert read.table.num_rows == num_good
        found.append((read.table.to_pylist(), list(read.lines), bad.rows))
    assert found[0] == found[1]


def test_open_quote_in_an_unread_column_of_the_last_line_is_a_fault() -> None:
    layout = RatingsFormat(editions.CSV, (*editions.RATING_COLUMNS, ""))
    split = row_splits.split_block(b'1,2,3,4,a"b\n5,3,4,200,"note\n', layout)
    assert split.texts.num_rows == 1 and split.faults[1].reason == "quotes"
