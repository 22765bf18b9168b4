"""What users have seen is never recommended, whatever the model is trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import DataConfig
from tests.components.movielens_example_gen.test_component import Runs
from tests.fixtures.exported_model import train_and_export
from tests.fixtures.movielens_files import Rating, write_csv
from trainer.config import ModelConfig, TrainConfig, TrainerConfig
from trainer.features import SPLITS
from trainer.serving_contract import KNOWN_USER, SERVING_DEFAULT

pytestmark = pytest.mark.slow

Trained = tuple[Path, dict[str, set[str]]]  # the model, and user -> movies rated

NUM_USERS, NUM_MOVIES = 60, 120
STARS = (1, 2, 3, 4, 4.5, 5)


def made_up_ratings(folder: Path) -> dict[str, set[str]]:
    """Writes two spans; the last user rated in the first span only.

    Returns:
      User -> movies rated in either.
    """
    random = np.random.default_rng(21)
    seen: dict[str, set[str]] = {}
    movies = list(range(1, NUM_MOVIES + 1))
    for span in (1, 2):
        rows: list[Rating] = []
        for user in range(1, NUM_USERS + (span == 1)):
            for movie in random.permutation(movies)[:25]:
                stars = float(random.choice(STARS))
                rows.append((user, int(movie), stars, 1000 * span + len(rows)))
                seen.setdefault(str(user), set()).add(str(movie))
        write_csv(folder / f"span-{span}", rows, movies)
    return seen


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A model that is trained on the good ratings of the second span alone.

    By the steps that this depends on: MovieLensExampleGen, and the code of Transform
    and the Trainer.
    """
    folder = tmp_path_factory.mktemp("seen")
    (folder / "trained").mkdir()
    seen = made_up_ratings(folder / "data")
    data = DataConfig(
        min_rating=4, span_window=1, last_span="2", window_length=8, window_stride=8
    )
    example_gen = Runs(folder)
    assert example_gen.run(folder / "data", data) == "COMPLETE"
    rows = {split: example_gen.rows(split) for split in SPLITS}
    config = TrainerConfig(
        model=ModelConfig(embedding_dim=8),
        train=TrainConfig(epochs=1, batch_size=32),
        dataset="seen",
        window_length=8,
        top_k=(10,),
        exclude_seen=True,
    )
    return train_and_export(folder / "trained", rows, config), seen


def test_no_user_is_recommended_a_movie_they_rated(
    trained: Trained,
) -> None:
    path, seen = trained
    model = tf.saved_model.load(str(path))
    users = sorted(seen)
    assert KNOWN_USER.call(model, user_id=users)["known"].all()
    answer = SERVING_DEFAULT.call(model, user_id=users, k=[10] * len(users))
    for user, movie_ids in zip(users, answer["movie_ids"], strict=True):
        recommended = {movie.decode() for movie in movie_ids}
        assert len(recommended) == 10
        assert not recommended & seen[user]
        assert len(recommended | seen[user]) <= NUM_MOVIES


def test_a_user_of_an_older_span_has_a_timeline(
    trained: Trained,
) -> None:
    model = tf.saved_model.load(str(trained[0]))
    answer = SERVING_DEFAULT.call(model, user_id=[str(NUM_USERS), "nobody"], k=[10, 10])
    assert not np.array_equal(answer["scores"][0], answer["scores"][1])
