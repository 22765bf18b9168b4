"""Arrays of lists of differing lengths, and what cannot be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures import small_model
from tests.fixtures.example_rows import to_example
from tests.fixtures.small_model import ragged
from trainer import features as f
from trainer.errors import UserError
from trainer.id_hashes import hash_ids
from trainer.input_pipeline import read_columns, read_corpus, take_rows
from trainer.ranking import PADDING
from trainer.towers import CandidateTower


def test_ragged_rows_are_padded_after_their_end() -> None:
    rows = ragged([[1, 2, 3], [], [4]])
    expected = [[1, 2, 3], [PADDING] * 3, [4, PADDING, PADDING]]
    np.testing.assert_array_equal(rows.padded(PADDING), expected)
    assert rows.padded(PADDING, width=5).shape == (3, 5)


def test_take_rows_selects_from_all_columns() -> None:
    columns = {"list": ragged([[1, 2], [], [3, 4, 5], [6]]), "one": np.arange(4) * 10}
    taken = take_rows(columns, np.array([2, 1, 2, 0]))
    assert taken["list"].values.tolist() == [3, 4, 5, 3, 4, 5, 1, 2]
    assert taken["list"].lengths.tolist() == [3, 0, 3, 2]
    assert taken["one"].tolist() == [20, 10, 20, 0]
    assert take_rows(columns, np.array([], int))["list"].lengths.tolist() == []


def _write(path: Path, rows: list[dict[str, Any]]) -> list[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), options="GZIP") as writer:
        for row in rows:
            writer.write(to_example(row).SerializeToString())
    return [str(path)]


def test_rows_have_one_order_whatever_files_an_engine_wrote(tmp_path: Path) -> None:
    spec = {
        f.USER_ID: tf.io.FixedLenFeature([], tf.string),
        f.WINDOW_INDEX: tf.io.FixedLenFeature([], tf.int64),
        f.MOVIE_INDICES: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
    }
    rows = [
        {f.USER_ID: [b"u%d" % user], f.WINDOW_INDEX: [window], f.MOVIE_INDICES: movies}
        for user in range(9)
        for window, movies in enumerate([[user], [1, 2, 3], [user, 10]])
    ]
    whole = _write(tmp_path / "whole" / "rows.gz", rows)
    shuffled = [rows[index] for index in np.random.default_rng(1).permutation(27)]
    parts = [
        *_write(tmp_path / "parts" / "0.gz", shuffled[20:]),
        *_write(tmp_path / "parts" / "1.gz", shuffled[:20]),
    ]
    expected, read = (read_columns(files, spec, spec) for files in (whole, parts))
    ids = list(dict.fromkeys(expected[f.USER_ID]))
    assert (np.diff(hash_ids(ids).astype(float)) > 0).all()
    assert expected[f.WINDOW_INDEX].tolist() == [0, 1, 2] * 9
    for name in (f.USER_ID, f.WINDOW_INDEX):
        np.testing.assert_array_equal(read[name], expected[name])
    for attribute in ("values", "splits"):
        one, other = (getattr(c[f.MOVIE_INDICES], attribute) for c in (expected, read))
        np.testing.assert_array_equal(one, other)


def _corpus_spec(*, has_titles: bool) -> dict[str, Any]:
    spec: dict[str, Any] = {
        f.MOVIE_INDEX: tf.io.FixedLenFeature([], tf.int64),
        f.MOVIE_ID: tf.io.FixedLenFeature([], tf.string),
        f.TITLE: tf.io.FixedLenFeature([], tf.string),
        f.GENRES_TEXT: tf.io.FixedLenFeature([], tf.string),
        f.NUM_RATINGS: tf.io.FixedLenFeature([], tf.int64),
        f.GENRE_WEIGHTS: tf.io.FixedLenFeature([2], tf.float32),
        f.YEAR_INDEX: tf.io.FixedLenFeature([], tf.int64),
    }
    if has_titles:
        spec[f.TITLE_TOKEN_INDICES] = tf.io.RaggedFeature(tf.int64)
    return spec


def _movie(index: int) -> dict[str, Any]:
    """A transformed movie without a genre, a year or a word in its title."""
    return {
        f.MOVIE_INDEX: [index],
        f.MOVIE_ID: [b"m%d" % index],
        f.TITLE: [b"(1995)"],
        f.GENRES_TEXT: [b""],
        f.NUM_RATINGS: [1],
        f.GENRE_WEIGHTS: [0.0, 0.0],
        f.YEAR_INDEX: [0],
    }


def test_titles_without_a_word_are_refused_where_words_are_embedded(
    tmp_path: Path,
) -> None:
    """Their vocabulary would be a token that TFT makes up."""
    files = _write(tmp_path / "Split-corpus" / "a.gz", [_movie(0), _movie(1)])
    with pytest.raises(UserError, match=r"None of the 2 titles.*model.title_tokens=0"):
        read_corpus(files, _corpus_spec(has_titles=True), num_title_tokens=2)
    bare = read_corpus(files, _corpus_spec(has_titles=False), num_title_tokens=1)
    assert bare.features.title_tokens.shape == (3, 0)
    one_word = _write(
        tmp_path / "one.gz", [_movie(0), _movie(1) | {f.TITLE_TOKEN_INDICES: [0]}]
    )
    read = read_corpus(one_word, _corpus_spec(has_titles=True), num_title_tokens=2)
    assert read.features.title_tokens.tolist() == [[-1], [0], [-1]]


@pytest.mark.parametrize("event_features", [(), ("rating", "gap")])
def test_movies_without_any_attribute_can_be_embedded(
    event_features: tuple[Any, ...], tmp_path: Path
) -> None:
    files = _write(tmp_path / "a.gz", [_movie(0), _movie(1)])
    movies = read_corpus(files, _corpus_spec(has_titles=False), num_title_tokens=1)
    context = small_model.context(event_features=event_features)
    context = context._replace(movies=movies.features)
    tower = CandidateTower(context)
    assert np.isfinite(np.array(tower(np.arange(3)))).all()
