"""Both parsers of ratings files apply the same rules, and no row is lost."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
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
from tests.fixtures.dirty_files import CLEAN_FIELDS, FAMILIES, ratings_files
from tests.fixtures.movielens_files import CSV_HEADER, write_csv
from trainer.errors import UserError
from trainer.movielens import HALF_STARS

_FIELD = st.sampled_from(
    [
        "1",
        "2",
        "3",
        "7",
        "",
        " 4 ",
        "0.5",
        "4.5",
        "99",
        "-3",
        "nan",
        "1e3",
        "x",
        "é",
        '"',
    ]
)
_ROW = st.one_of(
    st.tuples(
        st.sampled_from("1234"),
        st.sampled_from("123456"),
        st.sampled_from(["1", "3.5", "5"]),
        st.sampled_from(["10", "20", "30"]),
    ).map(",".join),
    st.lists(_FIELD, min_size=1, max_size=5).map(",".join),
)


@given(
    rows=st.lists(_ROW, max_size=30),
    split=st.sampled_from(["leave_last_n", "temporal_global", "random"]),
    min_rating=st.sampled_from([0.0, 3.0]),
    end=st.sampled_from(["\n", "", "\r\n"]),
)
def test_every_row_read_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[str],
    split: str,
    min_rating: float,
    end: str,
) -> None:
    """read = train + eval + filtered + duplicate + quarantined."""
    folder: Path = write_csv(tmp_path_factory.mktemp("dirty"), [])
    good = [f"9,{m},4,{m}" for m in range(1, 7)]
    lines = [*good, *rows]
    text = CSV_HEADER.decode() + "\n".join(lines) + end
    (folder / "ratings.csv").write_bytes(text.encode())
    config = DataConfig(
        split=split,
        min_rating=min_rating,
        on_bad_row="quarantine",
        max_quarantined_fraction=1.0,
    )
    summary = ingest.prepare(folder, config).summary()
    counts = dict(summary["ratings"])
    assert counts.pop("read") == sum(bool(line.strip()) for line in lines)
    assert summary["ratings"]["read"] == sum(counts.values())
    assert sum(summary["bad_rows"].values()) == counts["quarantined"]


@given(row=st.lists(_FIELD, min_size=4, max_size=4).map(",".join))
def test_a_row_has_the_same_fault_in_clean_and_in_dirty_blocks(
    tmp_path_factory: pytest.TempPathFactory, row: str
) -> None:
    folder = write_csv(tmp_path_factory.mktemp("row"), [])
    config = DataConfig(on_bad_row="quarantine", max_quarantined_fraction=1.0)
    found = []
    for neighbour in ("1,1,3,5", "1,1,3,bad"):
        text = CSV_HEADER.decode() + f"{neighbour}\n{row}\n"
        (folder / "ratings.csv").write_bytes(text.encode())
        bad = {b.line: b.detail for b in ingest.prepare(folder, config).bad.rows}
        found.append(bad.get(3))
    assert found[0] == found[1]


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
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The same rows, the same bad rows with their lines and reasons, in every family.

    The reader with Arrow, in blocks of any size, is compared with the careful splitter
    alone in one block, plain and compressed.
    """
    family = data.draw(st.sampled_from(FAMILIES))
    content = data.draw(ratings_files(family))
    size = data.draw(st.sampled_from([7, 50, 1 << 20]))
    unread = data.draw(st.sampled_from([{}, {"rating": None}, {"timestamp": None}]))
    folder = tmp_path_factory.mktemp("dirty")
    path = folder / "ratings"
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
