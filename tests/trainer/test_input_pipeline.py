"""Arrays of lists of differing lengths, and what cannot be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.quality.cold_world import take_rows
from tests.fixtures import small_model
from tests.fixtures.example_rows import to_example
from tests.fixtures.small_model import ragged
from trainer import features as f
from trainer.errors import UserError
from trainer.input_pipeline import read_corpus
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
