"""The candidate tower: movies by id and by attributes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures import small_model as small
from trainer.towers import CandidateTower


def test_an_unrated_movie_has_the_unknown_movies_id_and_bias() -> None:
    context = small.context()
    is_rated = context.movies.is_rated.copy()
    is_rated[2] = False
    tower = CandidateTower(
        context._replace(movies=context.movies._replace(is_rated=is_rated))
    )
    small.perturb(tower)
    for table in (tower.genre, tower.decade, tower.year, tower.title):
        table.assign(np.zeros(table.shape))
    rows = tower(tf.range(small.NUM_MOVIES + 1)).numpy()
    np.testing.assert_array_equal(rows[2], rows[-1])
    assert (rows[3] != rows[-1]).all()


def test_training_shows_some_movies_by_their_attributes_alone() -> None:
    tower = CandidateTower(small.context(movie_dropout=0.3))
    small.perturb(tower)
    usual = tower(tf.range(small.NUM_MOVIES)).numpy()
    hidden = [
        np.any(tower(tf.range(small.NUM_MOVIES), training=True) != usual, axis=1)
        for _ in range(100)
    ]
    assert np.mean(hidden) == pytest.approx(0.3, abs=0.06)


def test_titles_are_the_mean_of_their_words() -> None:
    model = small.make_model(movie_features=("title",))
    small.perturb(model)
    tower, titles = model.candidate_tower, small.candidate_features().title_tokens
    embeddings = np.asarray(model.embed_all_movies())
    table = np.asarray(tower.title)
    for movie, words in enumerate(titles):
        known = table[words[words >= 0]]
        expected = known.mean(axis=0) if len(known) else np.zeros(table.shape[1])
        np.testing.assert_allclose(embeddings[movie, :8], expected, atol=1e-6)


def test_an_unrated_movie_is_embedded_by_what_it_shares_with_others() -> None:
    model = small.make_model(cross_layers=1)
    small.perturb(model)
    tower = model.candidate_tower
    for table in (tower.movie, tower.time, tower.bias):
        table.assign(np.zeros(table.shape))
    embeddings = np.asarray(model.embed_all_movies())
    # Genres and title words go by fours, decades by threes.
    assert np.abs(embeddings[0] - embeddings[4]).max() > 0.01
    tower.decade.assign(np.zeros(tower.decade.shape))
    tower.year.assign(np.zeros(tower.year.shape))
    tower.title.assign(np.zeros(tower.title.shape))
    embeddings = np.asarray(model.embed_all_movies())
    np.testing.assert_allclose(embeddings[0], embeddings[4], atol=1e-6)
    assert np.abs(embeddings[0] - embeddings[1]).max() > 0.1
