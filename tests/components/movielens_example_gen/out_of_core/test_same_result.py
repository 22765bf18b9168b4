"""Ratings sorted by Beam give the files of ratings sorted in memory, byte for byte."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.movielens_example_gen import ingest
from components.movielens_example_gen.config import IngestMode
from components.movielens_example_gen.out_of_core import (
    gather,
    run,
    scatter,
    splits_read,
)
from components.movielens_example_gen.rows import chunks, examples, staging
from pipeline.config import DataConfig
from tests.fixtures.movielens_files import write_csv, write_double_colon, write_tab
from trainer import features as f
from trainer.errors import UserError


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Any:
    """Every file has many splits, and these many runs, partitions and shards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scatter, "SPLIT_BYTES", 40)
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
        "on_bad_row": st.sampled_from(["quarantine", "quarantine", "fail"]),
        "max_quarantined_fraction": st.sampled_from([1.0, 1.0, 0.2]),
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


@settings(max_examples=60)
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
