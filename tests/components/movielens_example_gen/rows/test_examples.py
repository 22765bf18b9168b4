from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from components.movielens_example_gen import ingest
from components.movielens_example_gen.rows import encoding, examples, slicing, staging
from components.movielens_example_gen.tables import as_ids
from pipeline.config import DataConfig
from tests.fixtures.movielens_files import write_csv, write_tab
from trainer import features as f


def rows_of(folder: Path, scratch: Path, config: DataConfig) -> dict[str, list[Any]]:
    """Split -> rows as {feature: list of values}."""
    staged = ingest.stage(ingest.prepare(folder, config), str(scratch))
    corpus = examples.Corpus.read(staged)
    return {
        split: [
            as_dict(row)
            for shard in range(staged.num_shards(split))
            for row in examples.encode_shard(split, staged, shard, corpus, config)
        ]
        for split in f.SPLITS
    }


def as_dict(serialized: bytes) -> dict[str, list[Any]]:
    example = tf.train.Example.FromString(serialized)
    # Equal but for the order of features, which protobuf's implementations differ in.
    assert len(example.SerializeToString()) == len(serialized)
    return {
        name: list(getattr(feature, feature.WhichOneof("kind")).value)
        for name, feature in example.features.feature.items()
    }


@given(
    st.lists(st.integers(0, 2**63 - 1), max_size=5),
    st.lists(st.binary(max_size=200), max_size=5),
    st.lists(st.floats(width=32, allow_nan=False), max_size=5),
)
def test_encoding_is_that_of_tensorflow(
    integers: list[int], texts: list[bytes], floats: list[float]
) -> None:
    codes = np.arange(len(texts), dtype=np.int32)
    texts_column = encoding.BytesColumn(
        as_ids([encoding.bytes_value(t) for t in texts]), codes
    )
    found = encoding.example(
        {
            "i": encoding.IntColumn(np.array(integers, np.int64)).feature(
                0, len(integers)
            ),
            "j": encoding.int_feature(integers),
            "b": texts_column.feature(0, 5),
            "c": encoding.bytes_feature(texts),
            "f": encoding.FloatColumn(np.array(floats, np.float32)).feature(0, 5),
        }
    )
    ints = tf.train.Feature(int64_list=tf.train.Int64List(value=integers))
    strings = tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
    feature = {
        "i": ints,
        "j": ints,
        "b": strings,
        "c": strings,
        "f": tf.train.Feature(float_list=tf.train.FloatList(value=floats)),
    }
    expected = tf.train.Example(features=tf.train.Features(feature=feature))
    assert found == expected.SerializeToString(deterministic=True)


@given(st.integers(0, 500), st.integers(1, 60), st.data())
def test_every_event_is_a_target_once(
    length: int, window: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, window))
    cuts = list(examples.cut_windows(length, window, stride))
    targets = [e for first, end, c in cuts for e in range(first + c, end)]
    assert targets == list(range(length))
    assert all(0 < end - first <= window for first, end, _ in cuts)
    assert examples.count_windows(np.array([length]), window, stride) == len(cuts)


def test_rows_of_the_splits(tmp_path: Path) -> None:
    events = [("é|::", m, 0.5 * m, 100 * m) for m in range(1, 7)]
    folder = write_csv(tmp_path / "in", events, [*range(1, 7), "new"])
    config = DataConfig(window_length=3, window_stride=2, activity_bounds=(2, 10))
    found = rows_of(folder, tmp_path, config)
    user = {f.USER_ID: ["é|::".encode()], f.ACTIVITY: [b"02-09"]}
    assert found[f.TRAIN_SPLIT] == [
        {
            **user,
            f.MOVIE_IDS: [b"1", b"2", b"3"],
            f.RATINGS: [0.5, 1.0, 1.5],
            f.TIMESTAMPS: [100, 200, 300],
            f.NUM_CONTEXT: [0],
            f.WINDOW_INDEX: [0],
        },
        {
            **user,
            f.MOVIE_IDS: [b"3", b"4", b"5"],
            f.RATINGS: [1.5, 2.0, 2.5],
            f.TIMESTAMPS: [300, 400, 500],
            f.NUM_CONTEXT: [1],
            f.WINDOW_INDEX: [1],
        },
    ]
    assert found[f.EVAL_SPLIT] == [
        {
            **user,
            f.MOVIE_IDS: [b"3", b"4", b"5"],
            f.RATINGS: [1.5, 2.0, 2.5],
            f.TIMESTAMPS: [300, 400, 500],
            f.SEEN_MOVIE_IDS: [b"1", b"2", b"3", b"4", b"5"],
            f.LATER_MOVIE_IDS: [],
            f.HELD_OUT_MOVIE_IDS: [b"6"],
            f.HELD_OUT_RATINGS: [3.0],
            f.HELD_OUT_TIMESTAMPS: [600],
            f.USER_KIND: [b"warm"],
            f.HELD_OUT_OPINION: [b"not_liked"],
            f.HELD_OUT_POPULARITY: [b"tail"],
            f.HELD_OUT_GENRES: [b"Drama"],
            f.HELD_OUT_DECADES: [b"1900s"],
        }
    ]
    corpus = {row[f.MOVIE_ID][0]: row for row in found[f.CORPUS_SPLIT]}
    assert corpus[b"5"] == {
        f.MOVIE_ID: [b"5"],
        f.TITLE: [b"Movie 5, The (1905)"],
        f.GENRES: [b"Drama"],
        f.YEAR: [1905],
        f.NUM_RATINGS: [1],
    }
    assert corpus[b"6"][f.NUM_RATINGS] == [0]  # held out: it must not be counted
    assert f.YEAR not in corpus[b"new"]
    assert found[f.KNOWN_SPLIT] == []


def test_what_is_not_trained_on_is_known_when_serving(tmp_path: Path) -> None:
    write_csv(tmp_path / "in" / "span-1", [("a", m, 4, m) for m in (1, 2, 3)])
    events = [("a", m, 5, m) for m in (11, 12, 13)] + [("few", 1, 2, 7)]
    events += [("a", 10, 1, 11), ("a", 14, 1, 14)]  # disliked, before and after 13
    write_csv(tmp_path / "in" / "span-2", events, [1, *range(10, 15)])
    config = DataConfig(span_window=1, min_rating=3, window_length=4, window_stride=4)
    found = rows_of(tmp_path / "in", tmp_path, config)
    [query] = found[f.EVAL_SPLIT]
    # The newest four of 1, 2, 3, 11 and 12: all that was liked before, of any span.
    assert query[f.MOVIE_IDS] == [b"2", b"3", b"11", b"12"]
    assert query[f.SEEN_MOVIE_IDS] == [b"1", b"2", b"3", *query[f.SEEN_MOVIE_IDS][3:]]
    assert sorted(query[f.SEEN_MOVIE_IDS][3:]) == [b"10", b"11", b"12"]
    assert query[f.HELD_OUT_MOVIE_IDS] == [b"13"]
    assert query[f.LATER_MOVIE_IDS] == [b"14"]
    known = {row[f.USER_ID][0]: row for row in found[f.KNOWN_SPLIT]}
    assert known[b"a"][f.MOVIE_IDS] == [b"1", b"2", b"3"]
    assert known[b"a"][f.RATINGS] == [4, 4, 4]
    assert sorted(known[b"a"][f.SEEN_MOVIE_IDS]) == [b"1", b"10", b"14", b"2", b"3"]
    assert known[b"few"][f.MOVIE_IDS] == []  # disliked
    assert known[b"few"][f.SEEN_MOVIE_IDS] == [b"1"]
    assert [row[f.MOVIE_IDS] for row in found[f.TRAIN_SPLIT]] == [[b"11", b"12"]]


def test_in_a_random_split_all_that_is_not_held_out_is_seen(tmp_path: Path) -> None:
    events = [("a", m, 1 + m % 5, m) for m in range(1, 30)]
    config = DataConfig(split="random", holdout_fraction=0.3, min_rating=2)
    folder = write_csv(tmp_path / "in", events, list(range(1, 30)))
    found = rows_of(folder, tmp_path, config)
    [query] = found[f.EVAL_SPLIT]
    held_out = set(query[f.HELD_OUT_MOVIE_IDS])
    everything = {str(m).encode() for m in range(1, 30)}
    assert set(query[f.SEEN_MOVIE_IDS]) == everything - held_out
    assert query[f.LATER_MOVIE_IDS] == []


def test_user_attributes_come_through(tmp_path: Path) -> None:
    events = [(u, m, 4, 9 * m + u) for u in (1, 2) for m in (1, 2)]
    config = DataConfig(min_user_ratings=2)
    found = rows_of(write_tab(tmp_path / "in", events), tmp_path, config)
    for split in (f.TRAIN_SPLIT, f.EVAL_SPLIT):
        by_user = {row[f.USER_ID][0]: row for row in found[split]}
        assert by_user[b"2"][f.AGE] == [53]
        assert by_user[b"2"][f.GENDER] == [b"F"]
        assert by_user[b"2"][f.OCCUPATION] == [b"other"]
        assert by_user[b"2"][f.ZIP_CODE] == [b"V3N4P"]
    assert by_user[b"2"][f.AGE_GROUP] == [b"50-55"]


def test_one_title_under_two_ids_is_two_movies(tmp_path: Path) -> None:
    folder = write_csv(tmp_path / "in", [(1, m, 4, m) for m in (1, 2, 3)])
    movies = (folder / "movies.csv").read_text()
    (folder / "movies.csv").write_text(
        movies + "7,Hamlet (2000),War\n8,Hamlet (2000),War\n"
    )
    found = rows_of(folder, tmp_path, DataConfig())[f.CORPUS_SPLIT]
    hamlets = [row[f.MOVIE_ID] for row in found if row[f.TITLE] == [b"Hamlet (2000)"]]
    assert hamlets == [[b"7"], [b"8"]]


def test_shards_hold_the_same_rows_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [(u, m, 4, 7 * m) for u in range(40) for m in range(1, 7)]
    folder = write_csv(tmp_path / "in", events)
    config = DataConfig(window_length=2, window_stride=1)
    whole = rows_of(folder, tmp_path, config)
    monkeypatch.setattr(staging, "EVENTS_PER_SHARD", 13)
    monkeypatch.setattr(staging, "MOVIES_PER_SHARD", 4)
    prepared = ingest.prepare(folder, config)
    staged = ingest.stage(prepared, str(tmp_path))
    assert (len(staged.timelines), len(staged.corpus)) == (16, 2)
    assert rows_of(folder, tmp_path, config) == whole
    assert {s: len(r) for s, r in whole.items()} == prepared.num_rows()


@pytest.mark.parametrize(
    ("length", "bucket"),
    [(0, "000-019"), (19, "000-019"), (20, "020-049"), (199, "100-199"), (200, "200+")],
)
def test_activity_buckets(length: int, bucket: str) -> None:
    assert slicing.bucket(length, (20, 50, 100, 200)) == bucket


@pytest.mark.parametrize("bounds", [(50, 20), (20, 20)])
def test_activity_buckets_that_overlap_are_refused(bounds: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="activity_bounds is"):
        DataConfig(activity_bounds=bounds)


def test_thirds_of_the_events_make_head_middle_and_tail() -> None:
    counts = np.array([40, 30, 20, 5, 5, 0])
    # 40 of 100 are the head; what begins beyond two thirds is the tail.
    assert slicing.popularity_classes(counts).tolist() == [0, 1, 2, 2, 2, 2]
    # Equal counts are of one class, whatever the order of the movies.
    assert slicing.popularity_classes(np.array([3, 3, 3])).tolist() == [0, 0, 0]
    assert slicing.popularity_classes(np.array([0, 0])).tolist() == [2, 2]


def test_a_new_user_is_a_query_without_a_history(tmp_path: Path) -> None:
    events = [("old", m, 4, m) for m in (1, 2, 3)]
    events += [("new", m, 4, 100 + m) for m in (1, 2, 6)]
    config = DataConfig(split="temporal_global", eval_start=100)
    found = rows_of(write_csv(tmp_path / "in", events), tmp_path, config)
    assert [row[f.USER_ID] for row in found[f.TRAIN_SPLIT]] == [[b"old"]]
    [row] = found[f.EVAL_SPLIT]
    assert row[f.MOVIE_IDS] == row[f.SEEN_MOVIE_IDS] == []
    assert row[f.USER_KIND] == [b"cold"]
    assert row[f.HELD_OUT_OPINION] == [b"liked"]  # each once
    assert row[f.HELD_OUT_POPULARITY] == [b"head", b"tail"]
