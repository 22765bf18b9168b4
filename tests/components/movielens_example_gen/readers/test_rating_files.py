"""Both parsers of ratings files apply the same rules, and no row is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.movielens_example_gen import ingest
from components.movielens_example_gen.inputs import editions
from components.movielens_example_gen.inputs.editions import Family
from components.movielens_example_gen.readers import rating_files
from components.movielens_example_gen.readers.bad_rows import BadRows
from components.movielens_example_gen.readers.rating_files import RatingsFormat
from components.movielens_example_gen.readers.rating_rows import RowRules
from pipeline.config import DataConfig
from tests.fixtures.movielens_files import CSV_HEADER, write_csv
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


@settings(max_examples=80, deadline=None)
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


@settings(max_examples=80, deadline=None)
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


def _layout(family: Family) -> RatingsFormat:
    rules = RowRules(HALF_STARS, latest=2_000_000_000)
    return RatingsFormat(family, editions.RATING_COLUMNS, rules)


def _judge(
    block: bytes, layout: RatingsFormat, table: pa.Table, lines: object
) -> tuple[list[dict[str, object]], set[int]]:
    """Returns the good rows, and the lines that a rule refuses."""
    line_of = np.array(lines)
    refused = {
        int(line_of[row]) for _, rows in layout.rules.broken(table) for row in rows
    }
    rows = table.to_pylist()
    good = [row for row, n in zip(rows, line_of, strict=True) if n not in refused]
    return good, refused


_NUMERIC = st.text("0123456789.+-eEnaif ", max_size=6)
_ID = st.text(
    st.sampled_from("a1 \t\x1c\x85\xa0é\u3000\"'|:,0x"), min_size=0, max_size=4
)
_ANY_ROW = st.tuples(
    st.one_of(_ID, st.sampled_from(["1", "22"])),
    st.one_of(_ID, st.sampled_from(["7", "m 8"])),
    st.one_of(_NUMERIC, st.sampled_from(["0.5", "3", "5.0", "5.5", "3.7", "nan"])),
    st.one_of(
        _NUMERIC,
        st.integers(-5, 10**20).map(str),
        st.sampled_from(["0", "00012", "2000000000", "2000000001", "100000000000"]),
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(_ANY_ROW, min_size=1, max_size=4),
    family=st.sampled_from(editions.FAMILIES),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_both_parsers_agree_on_every_row(
    rows: list[tuple[str, str, str, str]], family: Family, end: str
) -> None:
    """What Arrow's parser accepts, the line parser reads as the same values."""
    text = "".join(family.delimiter.join(row) + end for row in rows)
    block = text.encode(family.encoding, "replace")
    layout = _layout(family)
    fast = rating_files.parse_fast(block, layout)
    if fast is None or fast.num_rows != block.count(b"\n"):
        return  # the block is read line by line
    table, lines, faults = rating_files.parse_lines(1, block, layout)
    good, refused = _judge(block, layout, table, lines)
    fast_good, fast_refused = _judge(block, layout, fast, range(1, fast.num_rows + 1))
    assert fast_refused == refused | set(faults)
    strip = [
        {k: v.strip() if isinstance(v, str) else v for k, v in row.items()}
        for row in fast_good
    ]
    assert strip == good


@settings(max_examples=20, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 10**9),
            st.text("abc0123456789-_", min_size=1, max_size=5),
            st.integers(1, 10).map(lambda n: n / 2),
            st.integers(0, 2_000_000_000),
        ),
        min_size=1,
        max_size=20,
    ),
    family=st.sampled_from(editions.FAMILIES),
)
def test_good_rows_are_read_by_the_fast_parser_alone(
    rows: list[tuple[object, ...]], family: Family
) -> None:
    lines = [family.delimiter.join(map(str, row)) for row in rows]
    block = "".join(line + "\n" for line in lines).encode()
    fast = rating_files.parse_fast(block.replace(b"0x", b"0y"), _layout(family))
    assert fast is not None and fast.num_rows == len(rows)
    read = rating_files.read_block(Path("f"), 1, block, _layout(family), BadRows())
    assert read.num_read == read.table.num_rows == len(rows)
    assert read.table["timestamp"].to_pylist() == [row[3] for row in rows]
