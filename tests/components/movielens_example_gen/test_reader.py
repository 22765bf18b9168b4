from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from components.movielens_example_gen import ingest, ratings_file
from components.movielens_example_gen.bad_rows import BadRowsError
from components.movielens_example_gen.tables import Movie, RawData, User
from pipeline.config import DataConfig
from pipeline.errors import UserError
from tests.fixtures.movielens_files import (
    CSV_HEADER,
    write_csv,
    write_double_colon,
    write_tab,
)

GOOD = [(1, 1, 4, 100), (1, 2, 3, 200), (2, 1, 5, 300)]


def read(folder: Path, **settings: object) -> RawData:
    return ingest.prepare(folder, DataConfig(**settings)).data


def triples(data: RawData) -> set[tuple[bytes, bytes, float, int]]:
    r = data.ratings
    return {
        (r.user_ids[u], r.movie_ids[m], float(x), int(t))
        for u, m, x, t in zip(r.users, r.movies, r.ratings, r.timestamps, strict=True)
    }


def test_tab_family_with_users_and_latin_1_titles(tmp_path: Path) -> None:
    data = read(write_tab(tmp_path, GOOD))
    assert (b"1", b"2", 3.0, 200) in triples(data)
    assert data.movies[b"1"] == Movie(
        "Les Misérables (1995)", ("Comedy", "Drama"), 1995
    )
    assert data.movies[b"2"] == Movie("unknown", (), None)
    assert data.users[b"1"] == User(24, "M", "technician", "05711")
    assert data.users[b"2"].zip_code == "V3N4P"


def test_double_colon_family_with_codes_and_colons_in_titles(tmp_path: Path) -> None:
    data = read(write_double_colon(tmp_path, GOOD))
    assert triples(data) == {
        (b"1", b"1", 4.0, 100),
        (b"1", b"2", 3.0, 200),
        (b"2", b"1", 5.0, 300),
    }
    assert data.movies[b"1"].title == "Léon: The Professional (1994)"
    assert data.movies[b"2"] == Movie("Odd :: Title (1990)", ("War",), 1990)
    assert data.users[b"1"] == User(1, "F", "K-12 student", "48067")


def test_csv_family_keeps_a_quoted_title_whole(tmp_path: Path) -> None:
    folder = write_csv(tmp_path, [(1, "x", 0.5, 7)], ["x"])
    (folder / "movies.csv").write_bytes(
        b"\xef\xbb\xbfmovieId,title,genres\r\n"
        b'x,"American President, The (1995)",Comedy|Romance\r\n'
        b'7789,"11\'09""01 - September 11 (2002)",Drama\r\n'
        b"8,Babylon 5,(no genres listed)\r\n"
        + "9,Series (2006–2007) ,War\r\n".encode()
        + b'10,"Two\nlines (1999)",War\r\n'
    )
    movies = read(folder).movies
    assert movies[b"x"].title == "American President, The (1995)"
    assert movies[b"7789"].title == "11'09\"01 - September 11 (2002)"
    assert movies[b"8"] == Movie("Babylon 5", (), None)
    assert movies[b"9"] == Movie("Series (2006–2007)", ("War",), 2006)
    assert movies[b"10"].title == "Two\nlines (1999)"


def test_columns_by_other_names_in_another_order_and_unread_ones(
    tmp_path: Path,
) -> None:
    (tmp_path / "ratings.csv").write_bytes(
        b"when,stars,who,note,what\n9,8,a b,hi,m|1\n"
    )
    (tmp_path / "movies.csv").write_bytes(b"name,what,kind\nOne,m|1,Drama\n")
    columns = {
        "user_id": "who",
        "movie_id": "what",
        "rating": "stars",
        "timestamp": "when",
        "title": "name",
        "genres": "kind",
    }
    data = read(tmp_path, columns=columns, rating_scale=(1, 10, 1))
    assert triples(data) == {(b"a b", b"m|1", 8.0, 9)}
    assert data.movies == {b"m|1": Movie("One", ("Drama",), None)}


# What is wrong with line 3 of a CSV ratings file -> what the message must name.
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
    b"1,2,3,1e8": ("timestamp '1e8'", "whole number"),
    b"1,2\xff,3,200": ("\\xff", "utf-8"),
    b'1,"2,3,200': ("2 fields instead of 4",),
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


def test_clean_and_dirty_blocks_and_line_breaks_of_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ratings_file, "BLOCK_BYTES", 40)
    folder = write_csv(tmp_path, [])
    lines = [f"{u},{m},4,{100 + u}" for u in range(20) for m in (1, 2)]
    lines[17] = "8,2,40,108"
    text = "\ufeffuserId,movieId,rating,timestamp\r\n" + "\r\n".join(lines) + "\r\n"
    (folder / "ratings.csv").write_bytes(text.encode())
    config = DataConfig(on_bad_row="quarantine", max_quarantined_fraction=0.5)
    prepared = ingest.prepare(folder, config)
    assert len(prepared.data.ratings) == 39
    assert [row.line for row in prepared.bad.rows] == [19]


@pytest.mark.parametrize("end", [b"1,2,3,2", b"1,2,3", b"1,"])
def test_truncated_last_line_is_noticed(tmp_path: Path, end: bytes) -> None:
    folder = write_csv(tmp_path, [])
    (folder / "ratings.csv").write_bytes(CSV_HEADER + b"1,1,4,100\n2,1,4,100\n" + end)
    with pytest.raises(BadRowsError, match="line 4: .*cut off"):
        read(folder)


def test_whole_last_line_without_line_break_is_kept(tmp_path: Path) -> None:
    folder = write_csv(tmp_path, [])
    (folder / "ratings.csv").write_bytes(CSV_HEADER + b"1,1,4,100\n2,1,4,101")
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


def test_wrong_encodings_are_named(tmp_path: Path) -> None:
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


def test_order_of_rows_files_and_shards_does_not_matter(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [
        (u, m, int(rng.integers(1, 6)), int(rng.integers(100, 104)))
        for u in range(30)
        for m in rng.permutation(6)[:4] + 1
    ]
    whole = ingest.prepare(write_csv(tmp_path / "whole", rows), DataConfig())
    shuffled = [rows[i] for i in rng.permutation(len(rows))]
    parts = write_csv(tmp_path / "parts", shuffled[:50])
    write_csv(tmp_path / "rest", shuffled[50:])
    os.rename(tmp_path / "rest/ratings.csv", parts / "ratings-00001.csv")
    again = ingest.prepare(parts, DataConfig())
    for name in ("train", "held_out"):
        for column in ("starts", "movies", "ratings", "timestamps"):
            np.testing.assert_array_equal(
                getattr(getattr(whole.timelines, name), column),
                getattr(getattr(again.timelines, name), column),
            )
    assert whole.timelines.user_ids.tolist() == again.timelines.user_ids.tolist()
    assert whole.summary() == again.summary()


def test_empty_marker_files_of_object_stores_are_ignored(tmp_path: Path) -> None:
    folder = write_csv(tmp_path, GOOD)
    (folder / "ratings-marker.csv").touch()
    assert len(read(folder).ratings) == 3


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no MovieLens files"),
        ({"ratings.csv": CSV_HEADER + b"1,1,4,5\n"}, "has no movies"),
        ({"movies.csv": b"movieId,title,genres\n1,A,War\n"}, "has no ratings"),
        (
            {"ratings.csv": CSV_HEADER, "movies.csv": b"movieId,title,genres\n1,A,W\n"},
            "no rows in ratings",
        ),
        ({"ratings.csv": b"1,1,4,5\n", "movies.csv": b"x"}, "no column 'movieId'"),
        (
            {"ratings.csv": b"1,1,4,5\n", "movies.csv": b"movieId,title,genres\n"},
            "no column 'userId'",
        ),
        ({"ratings.csv": b"x", "u.data": b"x"}, "two formats"),
    ],
)
def test_missing_files_are_named(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(tmp_path)
