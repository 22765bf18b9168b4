"""SLIM and iALS of `irspack`."""

from __future__ import annotations

from typing import Any

import numpy as np
from irspack.recommenders import IALSRecommender, SLIMRecommender

from benchmarks.quality.peers.fitted import Fitted
from benchmarks.quality.peers.matrix import user_movie_matrix
from benchmarks.quality.split import Array, Events, Scorer


def fit_slim(events: Events, settings: dict[str, Any], seed: int) -> Fitted:
    """Sparse linear method: Ning and Karypis, ICDM 2011."""
    matrix = user_movie_matrix(events).astype(np.float64)
    model = SLIMRecommender(matrix, **settings).learn()
    return Fitted(_scorer(model), int(model.W.nnz))


def fit_ials(events: Events, settings: dict[str, Any], seed: int) -> Fitted:
    """Implicit ALS, well tuned: Rendle et al., RecSys 2022, arXiv:2110.14037."""
    matrix = user_movie_matrix(events).astype(np.float64)
    model = IALSRecommender(matrix, random_seed=seed, **settings).learn()
    numbers = model.get_user_embedding().size + model.get_item_embedding().size
    return Fitted(_scorer(model), numbers)


def _scorer(model: Any) -> Scorer:
    def score(users: Array) -> Array:
        return np.asarray(model.get_score(users), np.float32)

    return score
