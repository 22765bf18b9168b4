"""What is served is what was evaluated: one ranking behind two functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import saved_model_pb2

from tests.fixtures.exported_model import LIMITS, eval_examples
from trainer import features as f
from trainer.serving_contract import CATALOGUE, EVALUATE, RECOMMEND_FROM_HISTORY

pytestmark = pytest.mark.slow


def test_evaluate_ranks_movies_as_they_are_recommended(small_model: Any) -> None:
    """For the same rows, with the same movies left out."""
    for serialized in eval_examples():
        row = tf.train.Example.FromString(serialized)
        feature = row.features.feature
        answer = RECOMMEND_FROM_HISTORY.call(
            small_model,
            user_id=feature[f.USER_ID].bytes_list.value,
            movie_ids=[list(feature[f.MOVIE_IDS].bytes_list.value)],
            ratings=[list(feature[f.RATINGS].float_list.value)],
            timestamps=[list(feature[f.TIMESTAMPS].int64_list.value)],
            k=[LIMITS.max_k],
        )
        movies = [movie for movie in answer["movie_ids"][0] if movie]
        watched = feature[f.MOVIE_IDS].bytes_list.value
        feature[f.SEEN_MOVIE_IDS].bytes_list.value[:] = watched
        feature[f.HELD_OUT_MOVIE_IDS].bytes_list.value[:] = movies
        found = EVALUATE.call(small_model, examples=[row.SerializeToString()])
        ranks = found["rank"][0, : len(movies)]
        # Movies of equal scores share the last rank, here as in `trainer.ranking`.
        scores = answer["scores"][0, : len(movies)]
        expected = (scores >= scores[:, np.newaxis]).sum(axis=1)
        np.testing.assert_array_equal(ranks, expected)


def test_genres_of_the_list_are_compared_with_those_of_the_history(
    small_model: Any,
) -> None:
    """Not with those of all seen movies, nor of what is held out."""
    movies = CATALOGUE.call(small_model)
    genres = [text.split(b"|") if text else [] for text in movies[f.GENRES]]
    names = sorted({name for listed in genres for name in listed})
    weights = np.array(
        [[(n in each) / max(len(each), 1) for n in names] for each in genres]
    )
    row_of = {movie: row for row, movie in enumerate(movies[f.MOVIE_ID])}
    compared = 0
    for serialized in eval_examples():
        row = tf.train.Example.FromString(serialized)
        feature = row.features.feature
        watched = [row_of[m] for m in feature[f.MOVIE_IDS].bytes_list.value]
        feature[f.SEEN_MOVIE_IDS].bytes_list.value[:] = list(row_of)[:1]
        found = EVALUATE.call(small_model, examples=[row.SerializeToString()])
        own, listed = (
            weights[rows].sum(axis=0) for rows in (watched, found["top_ids"][0])
        )
        if not own.any():
            continue
        p, q = own / own.sum(), listed / listed.sum()
        shares = p[p > 0] / (0.99 * q + 0.01 * p)[p > 0]
        divergence = (p[p > 0] * np.log(shares)).sum()
        assert found["genre_divergence"][0, -1] == pytest.approx(divergence, abs=1e-5)
        compared += 1
    assert compared


def test_what_functions_share_is_saved_once(small_export: Path) -> None:
    """Each copy of the query encoder would take a second to save and to load."""
    saved_model = saved_model_pb2.SavedModel()
    saved_model.ParseFromString((small_export / "saved_model.pb").read_bytes())
    functions = saved_model.meta_graphs[0].graph_def.library.function
    names = [function.signature.name for function in functions]
    for shared in ("embed_lists", "describe"):
        assert sum(shared in name for name in names) == 1
    callers = [
        function.signature.name
        for function in functions
        if any("embed_lists" in _called(node) for node in function.node_def)
    ]
    assert len(callers) == 5  # `recommend_examples` calls `recommend`


def _called(node: node_def_pb2.NodeDef) -> str:
    return str(node.attr["f"].func.name)
