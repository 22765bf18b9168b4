from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from components.movielens_example_gen import ingest
from components.movielens_example_gen.tables import Movie, User
from pipeline.config import DataConfig
from tests.fixtures.movielens_files import (
    CSV_HEADER,
    write_csv,
    write_double_colon,
    write_tab,
)
from tests.fixtures.raw_data import GOOD, read, triples
from trainer.errors import UserError


def test_tab_family_with_users_and_latin_1_titles(tmp_path: Path) -> None:
    data = read(write_tab(tmp_path, GOOD))
    assert (b"1", b"2", 3.0, 200) in triples(data)
    assert data.movies[b"1"] == Movie(
        "Les Misérables (1995)", ("Comedy", "Drama"), 1995
    )
    assert data.movies[b"2"] == Movie("unknown", (), None)
    assert data.users[b"1"] == User(24, "M", "technician", "05711")
    assert data.users[b"2"].zip_code == "V3N4P"


def test_occupations_that_no_edition_has_are_counted(tmp_path: Path) -> None:
    folder = write_tab(tmp_path, GOOD)
    assert "users_of_other_occupations" not in read(folder).odd_rows
    (folder / "u.user").write_text("1|24|M|nurse|05711\n2|53|F|other|V3N4P\n")
    assert read(folder).odd_rows["users_of_other_occupations"] == 1


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
    assert movies[b"10"].title == "Two lines (1999)"


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
    for column in ("starts", "movies", "ratings", "timestamps", "kinds"):
        np.testing.assert_array_equal(
            getattr(whole.timelines.events, column),
            getattr(again.timelines.events, column),
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
            "no rows in .*ratings.csv",
        ),
        ({"ratings.csv": b"1,1,4,5\n", "movies.csv": b"x"}, "no column 'movieId'"),
        (
            {"ratings.csv": b"1,1,4,5\n", "movies.csv": b"movieId,title,genres\n"},
            "no column 'userId'",
        ),
        ({"ratings.csv": b"x", "u.data": b"x"}, "two formats"),
    ],
)
def test_missing_files_and_columns_are_reported(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(tmp_path)
