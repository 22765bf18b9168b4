"""Files as people have them: compressed, with other line ends, encodings and names."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest

from components.movielens_example_gen import ingest
from components.movielens_example_gen.inputs import editions
from components.movielens_example_gen.readers import text_files
from components.movielens_example_gen.readers.bad_rows import BadRowsError
from pipeline.config import DataConfig
from tests.fixtures.movielens_files import (
    CSV_HEADER,
    write_csv,
    write_double_colon,
    write_tab,
)
from tests.fixtures.raw_data import GOOD, read, triples
from trainer.errors import UserError

MOVIES = b"movieId,title,genres\n1,A (1990),War\n2,B (1995),War\n"


def write(folder: Path, **files: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        stem, _, end = name.rpartition("_")
        (folder / f"{stem.replace('__', '-')}.{end}").write_bytes(content)
    return folder


def compress(folder: Path) -> Path:
    for path in list(folder.iterdir()):
        compressed = gzip.compress(path.read_bytes())
        path.with_name(path.name + ".gz").write_bytes(compressed)
        path.unlink()
    return folder


@pytest.mark.parametrize("make", [write_csv, write_tab, write_double_colon])
def test_gzip_is_read_in_every_format(tmp_path: Path, make: object) -> None:
    plain = read(make(tmp_path / "plain", GOOD))  # type: ignore[operator]
    data = read(compress(make(tmp_path / "gz", GOOD)))  # type: ignore[operator]
    assert triples(data) == triples(plain)
    assert data.movies == plain.movies and data.users == plain.users


def test_gzip_in_spans_without_its_ending_and_in_two_members(tmp_path: Path) -> None:
    write_csv(tmp_path / "span-1", GOOD[:2])
    compress(tmp_path / "span-1")
    folder = write_csv(tmp_path / "span-2", [])
    start, end = gzip.compress(CSV_HEADER + b"2,1,5,"), gzip.compress(b"300\n")
    (folder / "ratings.csv").write_bytes(start + end)
    assert len(read(tmp_path).ratings) == 3


@pytest.mark.parametrize("damage", [slice(-6), slice(30), slice(11)])
@pytest.mark.parametrize("name", ["ratings.csv", "movies.csv"])
def test_damaged_gzip_is_one_line_that_names_it(
    tmp_path: Path, name: str, damage: slice
) -> None:
    folder = compress(write_csv(tmp_path, GOOD * 50))
    path = folder / f"{name}.gz"
    path.write_bytes(path.read_bytes()[damage])
    with pytest.raises(UserError, match=f"{name}.gz is cut off or damaged") as caught:
        read(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ratings.csv", "movies.csv"])
def test_gzip_within_gzip_is_refused_as_such(tmp_path: Path, name: str) -> None:
    path = compress(compress(write_csv(tmp_path, GOOD))) / f"{name}.gz.gz"
    path.rename(tmp_path / f"{name}.gz")
    with pytest.raises(UserError, match="is a gzip file within a gzip file"):
        text_files.decode(tmp_path / f"{name}.gz", editions.CSV)


def test_wrong_checksum_of_gzip_is_one_line(tmp_path: Path) -> None:
    folder = compress(write_csv(tmp_path, GOOD))
    path = folder / "ratings.csv.gz"
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="cut off or damaged"):
        read(folder)


def test_gzip_that_expands_beyond_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "_ALWAYS_EXPANDED_BYTES", 1 << 20)
    folder = write_csv(tmp_path, [])
    bomb = gzip.compress(CSV_HEADER + b"1,1,4,100\n" * 400_000)
    (folder / "ratings.csv").write_bytes(bomb)
    with pytest.raises(UserError, match="expands to more than"):
        read(folder)


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n"])
@pytest.mark.parametrize("make", [write_csv, write_tab, write_double_colon])
def test_any_line_end_in_every_file(tmp_path: Path, make: object, end: bytes) -> None:
    plain = read(make(tmp_path / "plain", GOOD))  # type: ignore[operator]
    folder = make(tmp_path / "other", GOOD)  # type: ignore[operator]
    for path in folder.iterdir():
        lines = path.read_bytes().replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
        path.write_bytes(end.join(lines))
    data = read(folder)
    assert triples(data) == triples(plain)
    assert data.movies == plain.movies and data.users == plain.users


def test_lines_are_counted_alike_with_mixed_line_ends(tmp_path: Path) -> None:
    folder = write_csv(tmp_path, [])
    text = b"\n1,1,4,5\r\n\r2,1,4,5\r\r3,1,99,5\r\n"
    (folder / "ratings.csv").write_bytes(CSV_HEADER.rstrip() + b"\r" + text)
    with pytest.raises(BadRowsError, match="line 6: rating 99.*1 of 3 rows"):
        read(folder)


def test_file_without_line_breaks_is_refused_in_linear_time(tmp_path: Path) -> None:
    folder = write_csv(tmp_path, [])
    (folder / "ratings.csv").write_bytes(b"1,1,4,100;" * (8 << 20))
    start = time.process_time()
    with pytest.raises(UserError, match="ratings.csv line 1: no line break in"):
        read(folder)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04abc", "a ZIP archive or a spreadsheet"),
        (b"PAR1abc", "a Parquet file"),
        (b"BZh9", "a bzip2 file"),
        ("userId,".encode("utf-16-le"), "not UTF-8 text"),
        ("userId,".encode("utf-32-be"), "not UTF-8 text"),
        (b'"userId,movieId\n', "quote in the header is not closed"),
        (b"userId,movieId,rating,rating,timestamp\n", "columns 3 and 4 are both named"),
        (b"userId;movieId;rating;timestamp\n", "no column 'userId'"),
        (b"\n\n", "no column 'userId'"),
        (CSV_HEADER + b"\n \t\r\n\n", "no rows in .*ratings.csv"),
    ],
)
def test_file_that_holds_no_rows_is_one_line_that_names_it(
    tmp_path: Path, content: bytes, message: str
) -> None:
    folder = write_csv(tmp_path, [])
    (folder / "ratings.csv").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read(folder)
    assert "ratings.csv" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ratings.csv", "movies.csv"])
def test_empty_file_is_said_to_be_empty(tmp_path: Path, name: str) -> None:
    folder = write_csv(tmp_path, GOOD)
    (folder / name).write_bytes(b"")
    with pytest.raises(UserError, match=f"{name} is empty"):
        read(folder)


@pytest.mark.parametrize("policy", ["fail", "quarantine"])
def test_movies_that_are_all_bad_are_named_and_counted(
    tmp_path: Path, policy: str
) -> None:
    folder = write_csv(tmp_path, GOOD)
    (folder / "movies.csv").write_bytes(b"movieId,title,genres\n1,A\n2,B\n")
    with pytest.raises(BadRowsError, match=r"movies.csv line 2: 2 fields.*fields: 2"):
        read(folder, on_bad_row=policy, max_quarantined_fraction=1.0)


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["ratings.csv", "ratings-backup.csv"], ["ratings-backup.csv", "ratings.csv"]),
        (["ratings.csv", "ratings-1 (copy).csv"], ["ratings-1 (copy).csv"]),
        (["ratings.csv", "ratings.csv.gz"], ["ratings.csv and ratings.csv.gz"]),
        (["ratings-1.csv", "ratings-1.csv.gz"], ["ratings-1.csv.gz"]),
        (["ratings-00000-of-00003.csv", "ratings-00002-of-00003.csv"], ["3 parts"]),
        (["ratings-0-of-2.csv", "ratings-1-of-2.csv", "ratings.csv"], ["2 parts"]),
        (["ratings-old.csv"], ["ratings-old.csv"]),
    ],
)
def test_files_that_may_be_copies_are_refused_by_name(
    tmp_path: Path, names: list[str], parts: list[str]
) -> None:
    folder = write_csv(tmp_path, GOOD)
    content = (folder / "ratings.csv").read_bytes()
    (folder / "ratings.csv").unlink()
    for name in names:
        (folder / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        read(folder)
    assert all(part in str(caught.value) for part in parts)


def test_broken_link_and_unreadable_file_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_csv(tmp_path, GOOD)
    (folder / "ratings-2.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="ratings-2.csv is a link to a file that is"):
        read(folder)
    (folder / "ratings-2.csv").unlink()

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(text_files, "open", denied, raising=False)
    with pytest.raises(UserError, match="movies.csv cannot be read: Permission denied"):
        read(folder)


def test_numbered_parts_are_read_together_plain_and_compressed(tmp_path: Path) -> None:
    folder = write_csv(tmp_path, GOOD[:1])
    (folder / "ratings.csv").rename(folder / "ratings-2026-03.csv")
    rest = "".join(",".join(map(str, row)) + "\n" for row in GOOD[1:])
    content = gzip.compress(CSV_HEADER + rest.encode())
    (folder / "ratings-2026-04.csv.gz").write_bytes(content)
    assert len(read(folder).ratings) == 3


def test_ml_10m_is_utf_8_and_ml_1m_latin_1(tmp_path: Path) -> None:
    folder = write_double_colon(tmp_path, GOOD)
    text = "2::Misérables, Les (1995)::Drama\n1::A (1990)::War\n"
    (folder / "movies.dat").write_bytes(text.encode("latin-1"))
    assert read(folder).movies[b"2"].title == "Misérables, Les (1995)"
    (folder / "users.dat").unlink()
    with pytest.raises(UserError, match=r"movies.dat line 1: byte b'\\xe9' is not utf"):
        read(folder)
    (folder / "movies.dat").write_bytes(text.encode())
    assert read(folder).movies[b"2"].title == "Misérables, Les (1995)"


def test_latin_1_edition_saved_as_utf_8_is_recognised(tmp_path: Path) -> None:
    for make in (write_double_colon, write_tab):
        folder = make(tmp_path / make.__name__, GOOD)
        titles = {movie.title for movie in read(folder).movies.values()}
        for path in folder.iterdir():
            path.write_bytes(path.read_bytes().decode("latin-1").encode())
        assert {movie.title for movie in read(folder).movies.values()} == titles


def test_all_spans_of_ml_1m_are_ml_1m_though_one_has_the_users(tmp_path: Path) -> None:
    for span in (1, 2):
        write_double_colon(tmp_path / f"span-{span}", GOOD)
    (tmp_path / "span-2" / "users.dat").unlink()
    prepared = ingest.prepare(tmp_path, DataConfig())
    assert "ml-1m" in prepared.summary()["format"]
    assert prepared.data.movies[b"1"].title == "Léon: The Professional (1994)"


def test_control_characters_in_movies(tmp_path: Path) -> None:
    folder = write_csv(tmp_path, GOOD)
    path = folder / "movies.csv"
    path.write_bytes(
        MOVIES + '7,"Li\x1b[2Jne\nbreak\u202e(1999)","War|Dra\x00ma"\n'.encode()
    )
    movie = read(folder).movies[b"7"]
    assert movie.title == "Li [2Jne break (1999)" and movie.year == 1999
    assert movie.genres == ("War", "Dra ma")
    path.write_bytes(MOVIES + b'"new\nline",NL id (1999),Drama\n')
    with pytest.raises(BadRowsError, match=r"movies.csv line 4: .*new\\nline' holds a"):
        read(folder)


@pytest.mark.parametrize(
    "row", ["1|²|M|other|1", "1|٣|M|other|1", "1|24|M|other", "\x1b|24|M|other|1"]
)
def test_bad_user_row_is_reported(tmp_path: Path, row: str) -> None:
    folder = write_tab(tmp_path, GOOD)
    (folder / "u.user").write_bytes(f"2|30|F|other|1\n{row}\n".encode())
    with pytest.raises(BadRowsError, match="u.user line 2"):
        read(folder)


def test_dates_and_decimals_are_seconds(tmp_path: Path) -> None:
    times = ["964982703.9", "2000-07-30T18:45:03Z", "2000-07-30 20:45:03+02:00"]
    times += ["2000-07-30 18:45:03.999", '"2000-07-30 18:45:03"', "964982703.0"]
    rows = [(1, movie, 4, time) for movie, time in enumerate(times, start=1)]
    assert set(read(write_csv(tmp_path, rows)).ratings.timestamps) == {964982703}


def test_implicit_data_is_a_configuration(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        ratings_csv=b"userId,movieId,timestamp\n1,1,100\n1,2,200\n2,1,300\n",
        movies_csv=b"movieId,title\n1,A (1990)\n2,B (1995)\n",
    )
    with pytest.raises(UserError, match="set data.columns.genres=null"):
        read(folder)
    with pytest.raises(UserError, match="set data.columns.rating=null"):
        read(folder, columns={"genres": None})
    data = read(folder, columns={"genres": None, "rating": None})
    assert triples(data) == {(u, m, 4.0, t) for (u, m, t) in _IMPLICIT}
    assert data.movies[b"1"].genres == ()
    scaled = {"genres": None, "rating": None}
    data = read(folder, columns=scaled, rating_scale=(1, 10, 1))
    assert set(data.ratings.ratings) == {8.0}


_IMPLICIT = [(b"1", b"1", 100), (b"1", b"2", 200), (b"2", b"1", 300)]


def test_without_times_only_random_splits(tmp_path: Path) -> None:
    rows = "".join(f"{u},{m},4\n" for u in range(20) for m in range(1, 7))
    folder = write_csv(tmp_path, [])
    (folder / "ratings.csv").write_bytes(b"userId,movieId,rating\n" + rows.encode())
    with pytest.raises(UserError, match="set data.columns.timestamp=null"):
        read(folder)
    for split in ("leave_last_n", "temporal_global"):
        with pytest.raises(ValueError, match="columns.timestamp is null"):
            DataConfig(columns={"timestamp": None}, split=split)
    config = DataConfig(columns={"timestamp": None}, split="random")
    summary = ingest.prepare(folder, config).summary()
    assert summary["ratings"]["eval"] > 0
    assert summary["first_timestamp"] is summary["last_timestamp"] is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": {"rating": None}, "min_rating": 4}, "columns.rating is null"),
        ({"columns": {"user_id": None}}, "columns.user_id is null"),
        (
            {"columns": {"user_id": "x", "movie_id": "x"}},
            "user_id and movie_id both in 'x' of the ratings file",
        ),
        # MovieLens' own names of what is not configured count, too.
        ({"columns": {"rating": "timestamp"}}, "rating and timestamp both in"),
        ({"columns": {"title": "genres"}}, "title and genres both in 'genres'"),
    ],
)
def test_impossible_columns_are_refused(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DataConfig(**settings)


def test_rating_weight_needs_ratings() -> None:
    from pipeline.config import PipelineConfig, TrainConfig

    data = DataConfig(columns={"rating": None})
    with pytest.raises(ValueError, match="no ratings to predict"):
        PipelineConfig(data=data, train=TrainConfig(rating_weight=0.1))


@pytest.mark.parametrize("write_edition", [write_csv, write_double_colon])
def test_parts_that_contradict_each_other_are_refused(
    tmp_path: Path, write_edition: object
) -> None:
    folder = write_edition(tmp_path, GOOD)  # type: ignore[operator]
    [path] = folder.glob("movies.*")
    again = path.with_stem("movies-1")
    again.write_bytes(path.read_bytes())
    assert len(read(folder).ratings) == len(GOOD)
    again.write_bytes(path.read_bytes().replace(b"Drama", b"War"))
    with pytest.raises(BadRowsError, match="movies.* is listed twice"):
        read(folder)
