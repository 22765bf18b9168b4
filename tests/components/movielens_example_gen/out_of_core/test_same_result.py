"""Ratings sorted by Beam give the files of ratings sorted in memory, byte for byte."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import pickle
import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.movielens_example_gen import ingest
from components.movielens_example_gen.config import IngestMode
from components.movielens_example_gen.out_of_core import (
    gather,
    run,
    scatter,
    splits_read,
)
from components.movielens_example_gen.readers import text_files
from components.movielens_example_gen.rows import examples, staging
from pipeline.config import DataConfig
from pipeline.engines.beam_options import BEAM_ARGS
from tests.fixtures.movielens_files import write_csv, write_double_colon, write_tab
from trainer import features as f
from trainer.errors import UserError


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Any:
    """Every file has many splits, and these many runs, partitions and shards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scatter, "SPLIT_BYTES", 99)
        patch.setattr(scatter, "RUN_ROWS", 3)
        patch.setattr(run, "BUCKET_BYTES", 16)
        patch.setattr(splits_read, "EVENTS_PER_PARTITION", 9)
        patch.setattr(gather, "MAX_COLLECTED", 7)
        patch.setattr(gather, "EVENTS_PER_CHUNK", 4)
        patch.setattr(staging, "EVENTS_PER_SHARD", 11)
        patch.setattr(staging, "MOVIES_PER_SHARD", 4)
        yield


def distribute(name: str, task: run.Task, elements: Sequence[Any]) -> None:
    """As workers do: in any order, each with its own copy, and some twice."""
    todo = [*elements, *elements[:2]]
    random.Random(name).shuffle(todo)
    for element in todo:
        task_there, element_there = pickle.loads(pickle.dumps((task, element)))
        task_there.load()
        task_there(element_there)


def result(base: Path, config: DataConfig, mode: IngestMode) -> Any:
    """All that the artifact is made of, or the error."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            read = ingest.ingest(base, config, folder, mode, distribute)
        except UserError as error:
            return str(error)
        corpus = examples.Corpus.read(read.staged)
        rows = {
            split: [
                list(examples.encode_shard(split, read.staged, index, corpus, config))
                for index in range(read.staged.num_shards(split))
            ]
            for split in f.SPLITS
        }
        read.bad.write(f"{folder}/quarantine")
        quarantine = Path(folder, "quarantine").read_text()
    return json.dumps(read.summary()), quarantine, rows


def assert_same(base: Path, config: DataConfig) -> Any:
    expected = result(base, config, "memory")
    found = result(base, config, "beam")
    assert found == expected
    return expected


GOOD_ROWS = st.tuples(
    st.sampled_from([b"u1", b"u1", b"2", b"3", b" 3", '"ü"'.encode(), b"007"]),
    st.sampled_from([b"1", b"2", b"3", b"4", b'"5"', b"6"]),
    st.sampled_from([b"4", b"3.5", b"1.0"]),
    st.sampled_from([b"7", b"8", b"9", b"100000", b"1970-01-02", b"7.5"]),
).map(b",".join)
ODD_LINES = st.sampled_from(
    [
        b"",
        b"  ",
        b"1,2,3",
        b"1,2,3,4,5",
        b"1,2,99,7",
        b"2,77,4,7",  # listed nowhere
        b'3," 77 ",4,7',
        b"1,2,4,never",
        b"1,2,4,-5",
        b",2,4,7",
        b'"1,2,4,7',
        b"\xff,2,4,7",
        b"\x01,2,4,7",
        b"1" * 90 + b",2,4,7",
    ]
)
FILES = st.tuples(
    st.lists(st.one_of(GOOD_ROWS, GOOD_ROWS, GOOD_ROWS, ODD_LINES), max_size=30),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.booleans(),  # ends in a line break
    st.booleans(),  # compressed
)
SETTINGS = st.fixed_dictionaries(
    {
        "split": st.sampled_from(["leave_last_n", "temporal_global", "random"]),
        "min_rating": st.sampled_from([0.0, 2.0]),
        "min_user_ratings": st.sampled_from([2, 4]),
        "on_bad_row": st.sampled_from([*["quarantine"] * 5, "fail"]),
        "max_quarantined_fraction": st.sampled_from([*[1.0] * 5, 0.2]),
        "span_window": st.sampled_from([None, 1, 2]),
        "holdout_fraction": st.sampled_from([0.1, 0.5]),
        "columns": st.sampled_from([{}, {}, {"rating": None}]),
    }
)


def write_spans(
    folder: Path, files: list[tuple[list[bytes], bytes, bytes, bool, bool]]
) -> None:
    write_csv(folder / "span-1", [])
    for index, (lines, end, mark, is_ended, is_gzip) in enumerate(files):
        # The first span has up to two parts, each other one a file.
        span = folder / f"span-{max(index, 1)}"
        span.mkdir(exist_ok=True)
        rows = [b"userId,movieId,rating,timestamp", *lines]
        content = mark + end.join(rows) + (end if is_ended else b"")
        if is_gzip:
            content = gzip.compress(content)
        (span / f"ratings-{index + 1}.csv").write_bytes(content)
    (folder / "span-1" / "ratings.csv").unlink()


@given(st.lists(FILES, min_size=1, max_size=4), SETTINGS)
def test_dirty_files_in_spans(
    files: list[tuple[list[bytes], bytes, bytes, bool, bool]],
    given_settings: dict[str, Any],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_spans(Path(folder), files)
        if given_settings["columns"]:
            given_settings["min_rating"] = 0.0
        assert_same(Path(folder), DataConfig(**given_settings))


@pytest.mark.parametrize("make", [write_csv, write_tab, write_double_colon])
def test_every_format(tmp_path: Path, make: Any) -> None:
    rows = [(u, m, 1 + (u * m) % 5, (u * 7 + m) % 9) for u in range(30) for m in (1, 2)]
    folder = make(tmp_path, rows)
    for split in ("leave_last_n", "temporal_global", "random"):
        config = DataConfig(split=split, min_user_ratings=2, holdout_fraction=0.3)
        assert not isinstance(assert_same(folder, config), str)


def test_data_without_ratings_and_times(tmp_path: Path) -> None:
    rows = b"".join(b"%d,%d\n" % (u, m) for u in range(20) for m in range(1, 7))
    folder = write_csv(tmp_path, [])
    (folder / "ratings.csv").write_bytes(b"userId,movieId\n" + rows)
    columns = {"rating": None, "timestamp": None}
    config = DataConfig(split="random", holdout_fraction=0.4, columns=columns)
    summary = json.loads(assert_same(folder, config)[0])
    assert summary["ratings"]["train"] + summary["ratings"]["eval"] == 120


@pytest.mark.parametrize("compressed", [True, False])
def test_a_user_with_most_of_the_ratings(tmp_path: Path, compressed: bool) -> None:
    """Such a user rates movies again and again: there are only so many movies."""
    rows = [("hot", 1 + n % 6, 1 + n % 5, n // 3) for n in range(900)]
    rows += [(u, m, 4, u) for u in range(9) for m in (1, 2, 3, 4)]
    folder = write_csv(tmp_path, rows)
    if compressed:
        path = folder / "ratings.csv"
        (folder / "ratings.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert_same(folder, DataConfig())


@pytest.mark.parametrize("split", ["leave_last_n", "temporal_global"])
def test_no_rating_is_good(tmp_path: Path, split: str) -> None:
    folder = write_csv(tmp_path, [(u, 77, 4, u) for u in range(9)])
    config = DataConfig(
        split=split, on_bad_row="quarantine", max_quarantined_fraction=1.0
    )
    assert not isinstance(assert_same(folder, config), str)


def test_the_first_bad_line_of_a_large_file_is_named(tmp_path: Path) -> None:
    rows: list[Any] = [(u, m, 4, u) for u in range(20) for m in (1, 2, 3)]
    rows[41] = rows[55] = (1, 2, 99, 3)
    error = assert_same(write_csv(tmp_path, rows), DataConfig())
    assert "ratings.csv line 43: rating 99" in error and "2 of 60 rows" in error


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "span-1", [(u, 1, 4, u) for u in range(20)])
    folder = write_csv(tmp_path / "span-2", [])
    (folder / "ratings.csv").write_bytes(b"userId,movie,rating,timestamp\n1,2,3,4\n")
    assert "no column 'movieId'" in assert_same(tmp_path, DataConfig())


def test_a_line_without_end_is_named_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "MAX_LINE_BYTES", 300)
    folder = write_csv(tmp_path, [(u, 1, 4, u) for u in range(20)])
    with (folder / "ratings.csv").open("ab") as out:
        out.write(b"x" * 400)
    assert "ratings.csv line 22: no line break" in assert_same(tmp_path, DataConfig())


@given(st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"bc"]), min_size=1))
def test_parts_of_a_file_are_its_lines(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ratings.csv")
        path.write_bytes(content)
        parts = text_files.cut(path, 3)
        texts = [b"".join(text_files.read_chunks(path, 5, part=p)) for p in parts]
    assert b"".join(texts) == content
    for text, following in itertools.pairwise(texts):
        assert text.endswith((b"\r", b"\n"))
        assert not (text.endswith(b"\r") and following.startswith(b"\n"))


def run_executor(base: Path, folder: Path, config: DataConfig, mode: IngestMode) -> Any:
    """Returns the files of the artifact, and its summary."""
    from tfx.types import standard_artifacts

    from components.movielens_example_gen.component import MovieLensExampleGen
    from components.movielens_example_gen.executor import Executor

    node = MovieLensExampleGen(str(base), config, "content")
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder / "examples")
    for name in ("examples", "tmp"):
        (folder / name).mkdir(parents=True)
    context = Executor.Context(
        beam_pipeline_args=[*BEAM_ARGS, *replace(config, ingest=mode).beam_args()],
        tmp_dir=str(folder / "tmp"),
        unique_id="1",
    )
    Executor(context).Do({}, {"examples": [artifact]}, dict(node.exec_properties))
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "examples").rglob("*"))
        if path.is_file()
    }
    summary = artifact.get_string_custom_property("summary")
    return files, summary.replace(str(folder), ""), dict(node.exec_properties)


@pytest.mark.slow
def test_the_artifacts_are_equal_to_the_byte(tmp_path: Path) -> None:
    rows = [(u, m, 4, 7 * m + u % 3) for u in range(40) for m in range(1, 7)]
    write_csv(tmp_path / "in" / "span-1", [*rows[:99], (1, 2, 99, 5)])
    write_csv(tmp_path / "in" / "span-2", rows[90:])
    config = DataConfig(on_bad_row="quarantine", split="temporal_global")
    memory, beam = (
        run_executor(tmp_path / "in", tmp_path / mode, config, mode)  # type: ignore[arg-type]
        for mode in ("memory", "beam")
    )
    assert memory == beam
    assert "examples/quarantine.jsonl" in memory[0] and len(memory[0]) > 20


REAL = {
    name: Path(os.environ[variable])
    for name in ("ml-100k", "ml-1m", "ml-latest-small")
    if (variable := "TWO_TOWER_" + name.upper().replace("-", "_")) in os.environ
}


@pytest.mark.real_data
@pytest.mark.parametrize("split", ["leave_last_n", "temporal_global", "random"])
@pytest.mark.parametrize("name", ["ml-100k", "ml-1m", "ml-latest-small"])
def test_real_editions(name: str, split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name not in REAL:
        pytest.skip(f"set TWO_TOWER_{name.upper().replace('-', '_')} to its folder")
    for module, size in (
        (scatter, ("SPLIT_BYTES", 500_000)),
        (scatter, ("RUN_ROWS", 10_000)),
        (run, ("BUCKET_BYTES", 20_000)),
        (splits_read, ("EVENTS_PER_PARTITION", 20_000)),
        (gather, ("MAX_COLLECTED", 15_000)),
        (gather, ("EVENTS_PER_CHUNK", 3_000)),
        (staging, ("EVENTS_PER_SHARD", 30_000)),
        (staging, ("MOVIES_PER_SHARD", 1_000)),
    ):
        monkeypatch.setattr(module, *size)
    assert_same(REAL[name], DataConfig(split=split))


@pytest.mark.parametrize("mode", ["memory", "beam"])
def test_spans_that_are_skipped_are_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: IngestMode
) -> None:
    for span in (1, 4):
        write_csv(tmp_path / f"span-{span}", [("1", "1", "4", "7")])
    config = DataConfig(span_window=2, missing_spans="skip")
    assert not isinstance(result(tmp_path, config, mode), str)
    assert "span-2 to span-3" in caplog.text
