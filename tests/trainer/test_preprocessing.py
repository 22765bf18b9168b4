"""The Transform graph on rows of all three splits, through Beam."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer import features as f
from trainer.movielens import AGE_BOUNDS, GENDERS, GENRES, OCCUPATIONS

pytestmark = pytest.mark.slow  # TensorFlow Transform alone takes ten seconds to import


@pytest.fixture(scope="module")
def transform(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The graph, analyzed on the rows of `tests.fixtures.transform_graph`."""
    from tests.fixtures.transform_graph import analyze  # noqa: PLC0415 - see above

    return analyze(tmp_path_factory.mktemp("transform"))


def apply(transform: Any, **raw: Any) -> dict[str, Any]:
    from trainer.preprocessing import TransformGraph  # noqa: PLC0415 - see above

    return TransformGraph(transform)(raw)


def test_the_movie_vocabulary_is_the_corpus(transform: Any) -> None:
    names = set(transform.vocabulary_by_name("movie_id"))
    assert names == {b"10", b"20", b"30", b"unrated"}
    assert set(transform.vocabulary_by_name("user_id")) == {b"u1", b"u2"}


def test_the_rows_of_a_file_are_transformed_in_their_order(transform: Any) -> None:
    folder = Path(transform.transform_savedmodel_dir).parents[1] / "transformed"
    name = "transformed_examples-00000-of-00001.gz"
    rows, none = (
        list(tf.data.TFRecordDataset(f"{folder}/Split-{split}/{name}", "GZIP"))
        for split in ("corpus", "eval")
    )
    assert none == []
    found = tf.io.parse_example(rows, transform.transformed_feature_spec())
    ids = [b"10", b"20", b"30", b"unrated"]
    assert found[f.MOVIE_ID].numpy().tolist() == [b"", b"", *ids]
    expected = apply(transform, movie_id=tf.constant(ids))[f.MOVIE_INDEX]
    assert found[f.MOVIE_INDEX].numpy().tolist()[2:] == expected.numpy().tolist()
    assert len(list(folder.glob("*/*"))) == 2
    assert not (folder.parent / "graph" / ".temp_path").exists()


def test_unknown_ids_go_to_the_out_of_vocabulary_bucket(transform: Any) -> None:
    ids = tf.ragged.constant([["10", "none"], ["", "30"]])
    movies = apply(transform, movie_ids=ids)
    first, second = movies[f.MOVIE_INDICES].to_list()
    assert first[1] == second[0] == 4
    assert sorted([first[0], second[1]])[1] < 4
    users = apply(transform, user_id=tf.constant(["u1", "", "new"]))
    assert users[f.USER_INDEX].numpy().tolist()[1:] == [2, 2]


def test_genres_become_weights(transform: Any) -> None:
    genres = tf.ragged.constant(
        [["Action", "Drama"], ["Children's"], ["Children"], ["Polka"], []],
        inner_shape=(),
    )
    weights = apply(transform, genres=genres)[f.GENRE_WEIGHTS].numpy()
    assert weights.sum(axis=1).tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]
    assert np.count_nonzero(weights[0]) == 2
    np.testing.assert_array_equal(weights[1], weights[2])  # ML-100K's own spelling
    assert weights[3, -1] == 1.0


def test_titles_are_words_without_the_year(transform: Any) -> None:
    titles = ["Big Heat, The (1953)", "THE big", "Straße", "(1995)", ""]
    tokens = apply(transform, title=tf.constant(titles))
    words = tokens[f.TITLE_TOKEN_INDICES].to_list()
    assert len(words[0]) == 3
    assert words[1] == [words[0][2], words[0][0]]
    assert len(words[2]) == 1
    assert words[3] == words[4] == []


def test_years_and_attributes_have_an_index_for_unknown(transform: Any) -> None:
    years = tf.constant([-1, 1874, 1995, 2031], tf.int64)
    indices = apply(transform, year=years)[f.YEAR_INDEX].numpy().tolist()
    assert indices == [0, 1, 96, 132]
    attributes = apply(
        transform,
        age=tf.constant([-1, 0, 17, 18, 60], tf.int64),
        gender=tf.constant(["", "F", "M", "?", "F"]),
        occupation=tf.constant(["", "writer", "artist", "sage", "none"]),
    )[f.USER_ATTRIBUTE_INDICES].numpy()
    assert attributes[:, 0].tolist() == [0, 1, 1, 2, 7]
    assert attributes[:, 1].tolist() == [0, 1, 2, 0, 1]
    assert attributes[:, 2].tolist() == [0, 21, 2, 0, 13]


def test_every_published_value_has_an_index_of_its_own(transform: Any) -> None:
    size = len(OCCUPATIONS)
    ages = tf.constant([1, *AGE_BOUNDS] + [1] * (size - len(AGE_BOUNDS) - 1), tf.int64)
    indices = apply(
        transform,
        age=ages,
        gender=tf.constant([*GENDERS] + ["F"] * (size - len(GENDERS))),
        occupation=tf.constant(OCCUPATIONS),
    )[f.USER_ATTRIBUTE_INDICES].numpy()
    assert indices[:, 2].tolist() == [*range(1, size + 1)]
    assert indices[: len(GENDERS), 1].tolist() == [1, 2]
    assert indices[: len(AGE_BOUNDS) + 1, 0].tolist() == [*range(1, 8)]
    genres = tf.ragged.constant([[name] for name in GENRES])
    weights = apply(transform, genres=genres)[f.GENRE_WEIGHTS].numpy()
    assert weights[:, :-1].tolist() == np.eye(len(GENRES)).tolist()


def test_the_graph_needs_nothing_of_the_workspace(
    transform: Any, tmp_path: Path
) -> None:
    from trainer.preprocessing import TransformGraph  # noqa: PLC0415 - see above

    class Lookup(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.graph = TransformGraph(transform)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def index(self, movie_id: tf.Tensor) -> tf.Tensor:
            return self.graph({f.MOVIE_ID: movie_id})[f.MOVIE_INDEX]

    tf.saved_model.save(Lookup(), str(tmp_path / "saved"))
    (tmp_path / "saved").rename(tmp_path / "moved")
    moved = tf.saved_model.load(str(tmp_path / "moved"))
    assert moved.index(tf.constant(["nobody"])).numpy().tolist() == [4]


def test_no_model_reads_what_queries_are_sliced_by() -> None:
    """The slices by held-out movies reveal the answers."""
    from trainer.held_out_ranking import EVALUATED_FEATURES  # noqa: PLC0415 - see above

    sliced_by = {
        *(f.USER_KIND, f.AGE_GROUP, f.HELD_OUT_OPINION),
        *(f.HELD_OUT_POPULARITY, f.HELD_OUT_GENRES, f.HELD_OUT_DECADES),
    }
    assert not sliced_by & {*EVALUATED_FEATURES, *f.PASSED_THROUGH}


def test_movies_without_a_genre_or_year_need_no_vocabulary(tmp_path: Path) -> None:
    """TFT makes up a token for an empty vocabulary, so there must be none."""
    from tests.fixtures.example_rows import corpus_row, train_row  # noqa: PLC0415
    from tests.fixtures.transform_graph import analyze  # noqa: PLC0415 - see above

    bare = {"title": [b"(1995)"], "genres": [], "year": None}
    rows = [
        *(train_row(number) for number in range(2)),
        *(corpus_row(number, **bare) for number in range(4)),
    ]
    output = analyze(tmp_path, title_tokens=0, rows=rows)
    assert set(output.vocabulary_by_name("user_id")) == {b"u0", b"u1"}
    assert set(output.vocabulary_by_name("movie_id")) == {b"1", b"2", b"3", b"4"}
    assets = (tmp_path / "graph" / "transform_fn" / "assets").glob("*")
    assert {path.name for path in assets} == {"user_id", "movie_id"}
