"""Cold start: how movies without ratings are embedded."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest

from tests.fixtures import small_model as small
from trainer import cold_start
from trainer.cold_start import _regress, _score_correction, embed_corpus, similarity
from trainer.context import CandidateFeatures
from trainer.losses import LossContext, make_loss
from trainer.model import TwoTowerModel

NUM_MOVIES, NUM_GENRES = 60, 4
UNRATED = np.arange(0, NUM_MOVIES, 10)


def features(is_rated: np.ndarray | None = None) -> CandidateFeatures:
    """Movies of all pairs of a genre and one of 15 years, and the unknown one."""
    movie = np.arange(NUM_MOVIES)
    if is_rated is None:
        is_rated = ~np.isin(movie, UNRATED)
    genres = np.eye(NUM_GENRES, dtype=np.float32)[movie % NUM_GENRES]
    return CandidateFeatures(
        genre_weights=np.append(genres, np.zeros((1, NUM_GENRES)), axis=0),
        year_index=np.append(90 + movie // NUM_GENRES, 0).astype(np.int32),
        title_tokens=np.append(movie % 3, -1).astype(np.int32)[:, None],
        num_title_tokens=4,
        is_rated=np.append(is_rated, False),
    )


def planted() -> np.ndarray:
    """Id embeddings that follow from genre and year: `[NUM_MOVIES + 1, dim]`."""
    rng = np.random.default_rng(1)
    of_genre = rng.normal(size=(NUM_GENRES, small.MODEL.embedding_dim))
    movie = np.arange(NUM_MOVIES)
    ids = of_genre[movie % NUM_GENRES]
    ids[:, 0] += (movie // NUM_GENRES) / 5
    return np.append(ids, np.zeros((1, small.MODEL.embedding_dim)), axis=0)


def trained(movies: CandidateFeatures) -> TwoTowerModel:
    """A model with the planted ids, as if training had found them."""
    keras.utils.set_random_seed(1)
    context = small.context(time_dim=0)._replace(movies=movies)
    counts = movies.is_rated[:-1].astype(int)
    model = TwoTowerModel(context, make_loss(LossContext(small.train_config(), counts)))
    model.candidate_tower.movie.assign(planted())
    return model


def embedded(
    movies: CandidateFeatures, temperature: float = 1.0, **changes: Any
) -> np.ndarray:
    config = small.trainer_config(
        model=dataclasses.replace(small.MODEL, **changes),
        train=small.train_config(temperature=temperature),
    )
    return embed_corpus(trained(movies), movies, small.train_columns(), config)


def test_an_unrated_movie_is_predicted_from_similar_ones() -> None:
    truth = planted()
    embeddings = embedded(features())[:, : truth.shape[1]]
    spread = np.abs(truth[UNRATED] - truth.mean(axis=0)).mean()
    assert np.abs(embeddings[UNRATED] - truth[UNRATED]).mean() < 0.25 * spread
    # The tower embeds all of them as the unknown movie.
    own = np.asarray(trained(features()).embed_all_movies())[UNRATED]
    assert (own == own[0]).all()


def test_rated_movies_keep_the_embeddings_of_the_tower() -> None:
    own = np.asarray(trained(features()).embed_all_movies())
    others = np.setdiff1d(np.arange(NUM_MOVIES + 1), UNRATED)
    np.testing.assert_array_equal(embedded(features())[others], own[others])


@pytest.mark.parametrize(
    ("num_rated", "changes"),
    [
        (50, {"movie_features": ("id",)}),
        (50, {"movie_features": ("id", "title"), "title_tokens": 0}),
        (50, {"unrated_movies": "tower"}),
        (50, {"candidate_tower": "mine.Tower"}),
        (19, {}),
        (60, {}),
    ],
)
def test_the_tower_embeds_all_movies_without_the_regression(
    num_rated: int, changes: dict[str, Any]
) -> None:
    movies = features(np.arange(NUM_MOVIES) < num_rated)
    if "title_tokens" in changes:
        movies = movies._replace(title_tokens=movies.title_tokens[:, :0])
    own = np.asarray(trained(movies).embed_all_movies())
    np.testing.assert_array_equal(embedded(movies, **changes), own)


def test_the_regression_can_be_chosen_with_a_custom_tower() -> None:
    changes = {"candidate_tower": "mine.Tower", "unrated_movies": "regression"}
    np.testing.assert_array_equal(embedded(features(), **changes), embedded(features()))


def test_a_sample_of_a_large_corpus_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = embedded(features())
    monkeypatch.setattr(cold_start, "_MAX_RATED", 40)
    part = embedded(features())
    others = np.setdiff1d(np.arange(NUM_MOVIES + 1), UNRATED)
    np.testing.assert_array_equal(part[others], whole[others])
    assert (part[UNRATED] != whole[UNRATED]).any()
    truth = planted()
    spread = np.abs(truth[UNRATED] - truth.mean(axis=0)).mean()
    error = np.abs(part[:, : truth.shape[1]] - truth)[UNRATED].mean()
    assert error < 0.5 * spread


def test_unrated_movies_are_embedded_in_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    movies = features(np.arange(NUM_MOVIES) < 25)
    whole = embedded(movies)
    monkeypatch.setattr(cold_start, "_CHUNK", 4)
    np.testing.assert_allclose(embedded(movies), whole, rtol=1e-6)


def test_only_the_configured_attributes_are_read() -> None:
    rows = np.arange(NUM_MOVIES)
    by_genre = similarity(features(), {"genres"}, rows, rows)
    same = rows[:, None] % NUM_GENRES == rows % NUM_GENRES
    np.testing.assert_allclose(by_genre, same)
    by_title = similarity(features(), {"title"}, rows, rows)
    np.testing.assert_allclose(by_title, rows[:, None] % 3 == rows % 3, atol=1e-12)


@pytest.mark.parametrize("name", ["year", "decade"])
def test_an_unknown_year_is_similar_to_no_other(name: str) -> None:
    movies = features()
    movies.year_index[:2] = 0
    years = similarity(movies, {name}, np.arange(4), np.arange(4, 9))
    np.testing.assert_array_equal(years[:2], 0)
    np.testing.assert_allclose(years[2:, 0], np.exp(-1 / 2))  # a year later
    both = similarity(movies, {name}, np.arange(2), np.arange(2))
    np.testing.assert_array_equal(both, 1)


@pytest.mark.parametrize(
    ("noise", "penalty"), [(0.3, 0.3), (0.6, 1.0), (0.7, 3.0), (2.0, 30.0)]
)
def test_leave_one_out_predictions_equal_those_of_a_refit(
    noise: float, penalty: float
) -> None:
    """Against fits that lack it, with the penalty of the least such error."""
    rng = np.random.default_rng(2)
    points = rng.normal(size=(12, 2))
    kernel = np.exp(-np.square(points[:, None] - points).sum(axis=2))
    values = np.sin(points) + rng.normal(scale=noise, size=points.shape)
    mean = values.mean(axis=0)

    def left_out(penalty: float) -> np.ndarray:
        rows = []
        for i in range(12):
            rest = np.delete(np.arange(12), i)
            system = kernel[np.ix_(rest, rest)] + penalty * np.eye(11)
            weights = np.linalg.solve(system, values[rest] - mean)
            rows.append(mean + kernel[i, rest] @ weights)
        return np.array(rows)

    found = {each: left_out(each) for each in (0.3, 1.0, 3.0, 10.0, 30.0)}
    errors = {each: np.square(found[each] - values).sum() for each in found}
    assert min(errors, key=lambda each: errors[each]) == penalty
    best = found[penalty]
    np.testing.assert_allclose(_regress(kernel, values)[1], best, atol=1e-10)


@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_corrected_predictions_are_as_often_among_the_best(spread: float) -> None:
    rng = np.random.default_rng(3)
    known = np.append(rng.normal(size=(250, 5)), rng.normal(size=(250, 1)), axis=1)
    queries = np.append(rng.normal(size=(40, 5)), np.ones((40, 1)), axis=1)
    predicted = known * spread
    correction = _score_correction(queries, known, predicted, share=0.04)
    assert (correction > 0) == (spread < 1)
    predicted[:, -1] += correction + 1e-9
    tenth = np.sort(queries @ known.T, axis=1)[:, -10:-9]
    assert (queries @ predicted.T >= tenth).sum() == 10 * len(queries)


def test_few_movies_are_corrected_too() -> None:
    known = np.arange(6.0).reshape(3, 2)
    correction = _score_correction(np.ones((1, 2)), known, known - 1.0, share=0.04)
    assert correction == pytest.approx(2.0)


@pytest.mark.parametrize("most", [70, 1])
def test_the_best_are_a_share_of_a_small_corpus_and_a_number_of_a_large_one(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    shares = []

    def correction(*arguments: Any) -> float:
        shares.append(arguments[-1])
        return 0.0

    monkeypatch.setattr(cold_start, "_score_correction", correction)
    monkeypatch.setattr(cold_start, "_MOST_BEST", most)
    movies = features()
    embedded(movies)
    rated = movies.is_rated[: movies.num_movies].sum()
    assert shares == [min(0.04, most / rated)]
    assert (shares[0] < 0.04) == (most == 1)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_bias_of_unrated_movies_is_corrected(
    monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    """By the same for all of them, whatever the temperature of training."""
    whole = embedded(features(), temperature)[UNRATED]
    seen = []

    def without(*arguments: Any) -> float:
        seen.append(_score_correction(*arguments))
        return 0.0

    monkeypatch.setattr(cold_start, "_score_correction", without)
    plain = embedded(features(), temperature)[UNRATED]
    assert seen[0] != 0
    np.testing.assert_allclose(whole[:, -1] - plain[:, -1], seen[0], atol=1e-5)
    np.testing.assert_array_equal(whole[:, :-1], plain[:, :-1])
