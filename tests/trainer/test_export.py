"""What is served is what was evaluated: one ranking behind two functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures.exported_model import LIMITS, eval_examples
from trainer import features as f
from trainer.serving_contract import EVALUATE, RECOMMEND_FROM_HISTORY

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
