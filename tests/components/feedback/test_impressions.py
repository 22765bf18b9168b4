"""Files of impressions: what is written is read, and damage is named."""

from __future__ import annotations

import datetime
import math
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.feedback import impressions
from components.feedback.impressions import SCHEMA, Impression, ReadCounts
from trainer.errors import UserError

START = datetime.datetime(2026, 3, 1, 23, 59, 59, tzinfo=datetime.timezone.utc)
GOOD = Impression(
    START, "r1", 7, "stable", "recommend", "ü\u0936", 3, ["1", "2"], [2.0, 1.5]
)


def read_all(folder: Path, counts: ReadCounts) -> list[Impression]:
    paths = impressions.find_files(str(folder))
    batches = impressions.read(paths, counts)
    return [Impression(**row) for batch in batches for row in batch.to_pylist()]


def write(folder: Path, *rows: Impression, number: int = 0) -> Path:
    path = impressions.file_path(folder, rows[0].at, 42, number)
    impressions.write(path, rows)
    return path


def test_what_is_written_is_read(tmp_path):
    east = datetime.timezone(datetime.timedelta(hours=2))
    path = write(tmp_path, GOOD, GOOD._replace(user_id="", movie_ids=[], scores=[]))
    write(tmp_path, GOOD._replace(at=datetime.datetime(2026, 3, 3, tzinfo=east)))
    assert path == tmp_path / "date=2026-03-01/20260301T235959.000000Z-42-0.parquet"
    counts = ReadCounts()
    rows = read_all(tmp_path, counts)
    assert rows[0] == GOOD
    assert [row.at.day for row in rows] == [1, 1, 2]
    assert counts == ReadCounts(files=2, rows=3)


def test_rows_that_no_server_wrote_are_left_out_and_counted(tmp_path):
    bad = [
        GOOD._replace(k=1),
        GOOD._replace(k=0, movie_ids=[], scores=[]),
        GOOD._replace(scores=[1.0]),
        GOOD._replace(scores=[1.0, math.nan]),
        GOOD._replace(scores=[math.inf, 1.0]),
        GOOD._replace(movie_ids=["1", "1"]),
        GOOD._replace(movie_ids=["1", None]),
        GOOD._replace(movie_ids=None),
        GOOD._replace(user_id=None),
        GOOD._replace(at=None),
        GOOD._replace(version=None),
    ]
    write(tmp_path, GOOD, *bad, GOOD._replace(request_id="last"))
    counts = ReadCounts()
    rows = read_all(tmp_path, counts)
    assert [row.request_id for row in rows] == ["r1", "last"]
    assert counts == ReadCounts(files=1, rows=13, malformed=11)


def test_damaged_files_are_left_out_whole_and_named(tmp_path):
    good = write(tmp_path, GOOD)
    content = good.read_bytes()
    folder = good.parent
    (folder / "empty.parquet").write_bytes(b"")
    (folder / "cut.parquet").write_bytes(content[:-30])
    (folder / "garbage.parquet").write_bytes(os.urandom(500))
    (folder / "other.parquet").write_bytes(b"")
    pq.write_table(pa.table({"at": [1]}), folder / "other.parquet")
    table = pa.Table.from_pylist([GOOD._asdict()], SCHEMA)
    texts = table.set_column(2, "version", pa.array(["seven"]))
    pq.write_table(texts, folder / "types.parquet")
    in_the_making = (".part-1", "a.parquet.tmp", ".b.parquet")
    for name in in_the_making:
        (folder / name).write_bytes(content[:100])
    counts = ReadCounts()
    assert read_all(tmp_path, counts) == [GOOD]
    assert counts.files == 1
    names = {Path(path).name: cause for path, cause in counts.damaged.items()}
    assert set(names) == {
        f"{name}.parquet" for name in ("empty", "cut", "garbage", "other", "types")
    }
    assert names["other.parquet"] == "it has no column request_id"
    good.unlink()
    with pytest.raises(UserError, match=r"all 5 files of impressions are damaged"):
        read_all(tmp_path, ReadCounts())


def test_damage_in_the_middle_of_a_file_leaves_out_the_whole_file(tmp_path):
    write(tmp_path, GOOD)
    rng = np.random.default_rng(0)
    lists = [[str(m) for m in rng.integers(0, 10**9, 3)] for _ in range(6_000)]
    rows = [GOOD._replace(movie_ids=movies, scores=[3.0, 2, 1]) for movies in lists]
    path = write(tmp_path, *rows, number=1)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 5000] = bytes(5000)
    path.write_bytes(content)
    counts = ReadCounts()
    assert read_all(tmp_path, counts) == [GOOD]
    assert list(counts.damaged) == [str(path)]


def test_text_that_is_not_utf8_is_damage(tmp_path):
    write(tmp_path, GOOD)
    table = pa.Table.from_pylist([GOOD._asdict()], SCHEMA)
    broken = pa.array([b"\xff"]).cast(pa.string(), safe=False)
    path = tmp_path / "broken.parquet"
    pq.write_table(table.set_column(5, "user_id", broken), path)
    counts = ReadCounts()
    assert read_all(tmp_path, counts) == [GOOD]
    assert list(counts.damaged) == [str(path)]


def test_no_folder_and_no_files_are_errors(tmp_path):
    with pytest.raises(UserError, match="there is no folder of impressions"):
        impressions.find_files(str(tmp_path / "absent"))
    with pytest.raises(UserError, match="has no impressions"):
        impressions.find_files(str(tmp_path))


def test_a_file_that_cannot_be_read_is_an_error_and_no_damage(tmp_path):
    path = write(tmp_path, GOOD)
    (path.parent / "folder.parquet").mkdir()
    with pytest.raises(UserError, match=r"folder\.parquet"):
        read_all(tmp_path, ReadCounts())
