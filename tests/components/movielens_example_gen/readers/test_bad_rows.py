"""Bad lines: refused with file, line and content, or set aside and counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.movielens_example_gen import ingest
from components.movielens_example_gen.readers import rating_files
from components.movielens_example_gen.readers.bad_rows import BadRows, BadRowsError
from pipeline.config import DataConfig
from tests.fixtures.movielens_files import (
    CSV_HEADER,
    write_csv,
)
from tests.fixtures.raw_data import GOOD, read, triples
from trainer.errors import UserError
from trainer.text import has_control_characters

BAD_LINES = {
    b"1,2,99,200": ("rating 99", "0.5 to 5 in steps of 0.5"),
    b"1,2,3.7,200": ("rating 3.7", "steps of 0.5"),
    b"1,2,nan,200": ("rating nan", "scale"),
    b"1,2,,200": ("rating ''", "number"),
    b"1,,3,200": ("movie_id is empty",),
    b"  ,2,3,200": ("user_id is empty",),
    b"1,2,3": ("3 fields instead of 4",),
    b"1,2,3,200,9": ("5 fields instead of 4",),
    b"1,2,3,-5": ("timestamp -5", "1970"),
    b"1,2,3,964982703000": ("964982703000", "milliseconds"),
    b"1,2,3,4102444800": ("4102444800", "future"),
    b"1,2,3,1e8": ("timestamp '1e8'", "neither seconds"),
    b"1,2\xff,3,200": ("\\xff", "utf-8"),
    b'1,"2,3,200': ("quote is not closed",),
    b"1,2,3,964982703000000": ("964982703000000", "microseconds", "1,000,000"),
    b"1,2,3,964982703000000000": ("nanoseconds", "1,000,000,000"),
    b"1,2,3,964982703000.5": ("964982703000.5", "milliseconds"),
    b"1,2,3,1900-01-01": ("1900-01-01 is before 1970",),
    b"1,2,3,3000-01-01": ("3000-01-01 is in the future",),
    b"1,2,3,2001-02-29": ("neither seconds", "nor a date"),
    "1,2,3,٣".encode(): ("timestamp",),
    "1,2,٣,3".encode(): ("rating", "number"),
    b"1,2,3,1_000": ("timestamp '1_000'",),
    b"1,2,inf,200": ("rating inf",),
    b"1,2\x00,3,200": (r"movie_id '2\x00' holds a control character",),
    b'"a\x1bb",2,3,200': (r"user_id 'a\x1bb' holds a control character",),
    "1\u200b2\u202e,2,3,200".encode(): (r"\u202e' holds a control",),
    "\ufeff1,2,3,200".encode(): (r"'\ufeff1' holds a control",),
    "\u200b,2,3,200".encode(): ("user_id is empty",),
    b"1," + b"9" * 1001 + b",3,200": ("movie_id has 1,001 characters", "1,000"),
    b"1,77,3,200": ("movie 77", "no movies file"),
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_bad_line_is_refused_with_file_line_and_content(
    tmp_path: Path, line: bytes
) -> None:
    folder = write_csv(tmp_path, [])
    file = folder / "ratings.csv"
    file.write_bytes(CSV_HEADER + b"1,1,4,100\n" + line + b"\n2,1,5,300\n")
    with pytest.raises(BadRowsError) as caught:
        read(folder)
    text = str(caught.value)
    assert f"{file} line 3: " in text
    assert "1 of 3 rows are bad" in text
    for part in BAD_LINES[line]:
        assert part in text
    assert "\n" not in text


@pytest.mark.parametrize("line", BAD_LINES)
def test_bad_line_is_set_aside_and_counted(tmp_path: Path, line: bytes) -> None:
    folder = write_csv(tmp_path, [])
    (folder / "ratings.csv").write_bytes(
        CSV_HEADER + b"1,1,4,100\n" + line + b"\n2,1,5,300\n"
    )
    config = DataConfig(on_bad_row="quarantine", max_quarantined_fraction=0.5)
    prepared = ingest.prepare(folder, config)
    assert triples(prepared.data) == {(b"1", b"1", 4.0, 100), (b"2", b"1", 5.0, 300)}
    assert prepared.data.num_quarantined == 1
    prepared.bad.write(tmp_path / "quarantine.jsonl")
    (row,) = map(json.loads, (tmp_path / "quarantine.jsonl").read_text().splitlines())
    assert row["line"] == 3
    assert row["file"] == str(folder / "ratings.csv")
    with pytest.raises(BadRowsError, match="at most 33.00%"):
        read(folder, on_bad_row="quarantine", max_quarantined_fraction=0.33)


def test_blocks_with_and_without_bad_rows_and_windows_line_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rating_files, "BLOCK_BYTES", 40)
    folder = write_csv(tmp_path, [])
    lines = [f"{u},{m},4,{100 + u}" for u in range(20) for m in (1, 2)]
    lines[17] = "8,2,40,108"
    text = "\ufeffuserId,movieId,rating,timestamp\r\n" + "\r\n".join(lines) + "\r\n"
    (folder / "ratings.csv").write_bytes(text.encode())
    config = DataConfig(on_bad_row="quarantine", max_quarantined_fraction=0.5)
    prepared = ingest.prepare(folder, config)
    assert len(prepared.data.ratings) == 39
    assert [row.line for row in prepared.bad.rows] == [19]


@pytest.mark.parametrize("end", [b"1,2,3", b"1,"])
def test_truncated_last_line_is_refused(tmp_path: Path, end: bytes) -> None:
    folder = write_csv(tmp_path, [])
    (folder / "ratings.csv").write_bytes(CSV_HEADER + b"1,1,4,100\n2,1,4,100\n" + end)
    with pytest.raises(BadRowsError, match="line 4: .*cut off"):
        read(folder)


def test_whole_last_line_without_line_break_is_kept(tmp_path: Path) -> None:
    folder = write_csv(tmp_path, [])
    # The newest rating may come from a clock with fewer digits.
    (folder / "ratings.csv").write_bytes(
        CSV_HEADER + b"1,2,4,1000000001\n1,3,4,999999999"
    )
    assert len(read(folder).ratings) == 2


def test_unquoted_comma_in_a_title_is_refused_with_line_and_content(
    tmp_path: Path,
) -> None:
    folder = write_csv(tmp_path, GOOD)
    (folder / "movies.csv").write_bytes(
        b"movieId,title,genres\n1,Plain (1990),War\n"
        b"2,American President, The (1995),War\n"
    )
    with pytest.raises(BadRowsError) as caught:
        read(folder)
    assert f"{folder / 'movies.csv'} line 3: 4 fields instead of 3" in str(caught.value)
    assert "double quotes" in str(caught.value)
    assert "American President, The" in str(caught.value)


def test_quote_that_is_never_closed_is_refused(tmp_path: Path) -> None:
    folder = write_csv(tmp_path, GOOD)
    (folder / "movies.csv").write_bytes(
        b'movieId,title,genres\n1,"Plain (1990),War\n2,Other (1995),War\n'
    )
    with pytest.raises(UserError, match=r"movies.csv line 2: a double quote is never"):
        read(folder)


def test_wrong_encoding_is_reported(tmp_path: Path) -> None:
    folder = write_csv(tmp_path, GOOD)
    (folder / "movies.csv").write_bytes(
        b"movieId,title,genres\n1,Caf\xe9 (1990),War\n2,B (1995),War\n"
    )
    with pytest.raises(UserError, match=r"movies.csv line 2: byte b'\\xe9' is not utf"):
        read(folder)
    (folder / "ratings.csv").write_bytes("userId,movieId".encode("utf-16"))
    write_csv(folder / "other", [])
    (folder / "movies.csv").write_bytes((folder / "other/movies.csv").read_bytes())
    with pytest.raises(UserError, match="not UTF-8 text"):
        read(folder)


def test_rows_that_were_set_aside_are_written_without_control_characters(
    tmp_path: Path,
) -> None:
    content = "1,\x9b2J,\u202e99\u2028é".encode()
    bad = BadRows("quarantine")
    bad.add("ratings.csv", 3, "rating", "off", content)
    bad.write(tmp_path / "rows.jsonl")
    (line,) = (tmp_path / "rows.jsonl").read_text("utf-8").splitlines()
    assert not has_control_characters(line)
    assert json.loads(line)["content"] == content.decode()
