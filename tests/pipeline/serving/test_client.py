"""The client of a pushed model, here one with two users and four movies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.serving.client import ModelInfo, PushedModel
from trainer.errors import UsageError, UserError

LIMITS = {"max_batch": 3, "max_history": 5, "max_k": 4}
INFO = {"dataset": "ml-tiny", "limits": LIMITS, "num_users": 2}


def write_info(path: Path, text: str = json.dumps(INFO)) -> Path:
    (path / "assets.extra").mkdir(parents=True)
    (path / "assets.extra" / "model_info.json").write_text(text)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PushedModel:
    import tensorflow as tf

    movies = tf.constant(["1", "2", "3", "4"])

    class Model(tf.Module):
        """Leaves out the history; two movies are left for user 1."""

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, "user_id"),
                tf.TensorSpec([None], tf.int32, "k"),
            ]
        )
        def recommend(self, user_id: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.top(tf.constant([["3", "1"]]), k)

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, "user_id"),
                tf.TensorSpec([None, None], tf.string, "movie_ids"),
                tf.TensorSpec([None, None], tf.float32, "ratings"),
                tf.TensorSpec([None, None], tf.int64, "timestamps"),
                tf.TensorSpec([None], tf.int32, "k"),
            ]
        )
        def from_history(
            self,
            user_id: tf.Tensor,
            movie_ids: tf.Tensor,
            ratings: tf.Tensor,
            timestamps: tf.Tensor,
            k: tf.Tensor,
        ) -> dict[str, tf.Tensor]:
            in_order = tf.reduce_all(timestamps[:, 1:] > timestamps[:, :-1])
            tf.debugging.assert_equal(in_order, True)
            return self.top(movie_ids, k)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "user_id")])
        def known_user(self, user_id: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"known": (user_id == "1") | (user_id == "2")}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "movie_id")])
        def known_movie(self, movie_id: tf.Tensor) -> dict[str, tf.Tensor]:
            tf.debugging.assert_less_equal(tf.size(movie_id), LIMITS["max_batch"])
            return {"known": tf.reduce_any(movie_id[:, None] == movies, axis=1)}

        def top(self, seen: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
            is_seen = tf.reduce_any(movies[:, None] == seen, axis=1)
            scores = tf.where(is_seen, tf.float32.min, [4.0, 3.0, 2.0, 1.0])
            scores, rows = tf.math.top_k(scores[None], k[0])
            left = scores > tf.float32.min
            ids = tf.where(left, tf.gather(movies, rows), "")
            return {
                "movie_ids": ids,
                "titles": tf.where(left, tf.strings.join(["Movie [", ids, "]"]), ""),
                "genres": tf.where(left, "Drama|War", ""),
                "scores": scores,
            }

    made = Model()
    path = tmp_path_factory.mktemp("model")
    signatures = {
        "serving_default": made.recommend,
        "recommend_from_history": made.from_history,
        "known_user": made.known_user,
        "known_movie": made.known_movie,
    }
    tf.saved_model.save(made, str(path), signatures=signatures)
    return PushedModel(ModelInfo.read(write_info(path)))


def test_a_known_user_gets_what_is_left(model: PushedModel) -> None:
    first, second = model.for_user("1", 4)
    assert (first.rank, first.movie_id, first.score) == (1, "2", 3.0)
    assert (first.title, first.genres) == ("Movie [2]", "Drama|War")
    assert (second.rank, second.movie_id) == (2, "4")
    assert len(model.for_user("1", 1)) == 1


def test_a_history_takes_the_place_of_a_user(model: PushedModel) -> None:
    found = model.for_history(["1", "2", "4"], 4)
    assert [movie.movie_id for movie in found] == ["3"]


def test_the_error_of_an_unknown_user_says_what_to_do(model: PushedModel) -> None:
    with pytest.raises(UsageError, match=r"'42' \(2 users of ml-tiny\).*--history"):
        model.for_user("42", 1)


def test_a_history_has_more_movies_than_a_request_has_rows(model: PushedModel) -> None:
    assert model.for_history(["1", "2", "3", "4"], 4) == []
    with pytest.raises(UsageError, match="names 6 movies, but the model takes at most"):
        model.for_history(["1"] * 6, 4)


def test_an_id_that_is_no_text_is_unknown(model: PushedModel) -> None:
    with pytest.raises(UsageError, match="knows no user"):
        model.for_user("\udcff", 1)
    with pytest.raises(UsageError, match="names unknown movies"):
        model.for_history(["1", "\udcff"], 1)


def test_a_model_that_does_not_answer_as_documented_is_named(tmp_path: Path) -> None:
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "user_id")])
        def known_user(self, user_id: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"other": user_id}

    made = Model()
    signatures = {"known_user": made.known_user}
    tf.saved_model.save(made, str(tmp_path), signatures=signatures)
    broken = PushedModel(ModelInfo.read(write_info(tmp_path)))
    for ask in (lambda: broken.for_user("1", 1), lambda: broken.for_history(["1"], 1)):
        with pytest.raises(UserError, match=r"does not answer: .*known"):
            ask()


def test_unknown_movies_are_named(model: PushedModel) -> None:
    with pytest.raises(UsageError, match="unknown movies: 7, x"):
        model.for_history(["1", "7", "x"], 1)


@pytest.mark.parametrize("k", [-1, 0, 5])
def test_k_must_be_one_that_the_model_answers(model: PushedModel, k: int) -> None:
    for ask in (lambda: model.for_user("1", k), lambda: model.for_history(["1"], k)):
        with pytest.raises(UsageError, match=rf"-k is {k}.*from 1 to 4"):
            ask()


def test_a_model_of_an_earlier_release_is_named_as_such(tmp_path: Path) -> None:
    write_info(tmp_path, '{"dataset": "a", "corpus_size": 4, "num_users": 2}')
    with pytest.raises(UserError, match="exported by an earlier release"):
        ModelInfo.read(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"dataset": "a"', "[" * 100_000],
    ids=lambda text: text[:9],
)
def test_a_model_without_its_description_is_refused(tmp_path: Path, text: str) -> None:
    write_info(tmp_path, text)
    with pytest.raises(UserError, match="model_info"):
        ModelInfo.read(tmp_path)


def test_a_description_is_read_from_an_object_store_too(tmp_path: Path) -> None:
    import tensorflow as tf

    path = "ram://store/serving/1"
    content = (write_info(tmp_path) / "assets.extra/model_info.json").read_bytes()
    tf.io.gfile.makedirs(f"{path}/assets.extra")
    with tf.io.gfile.GFile(f"{path}/assets.extra/model_info.json", "wb") as file:
        file.write(content)
    info = ModelInfo.read(path)
    assert (info.path, info.num_users) == (path, 2)
