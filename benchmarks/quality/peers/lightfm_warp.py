"""LightFM with the WARP loss (`lightfm-next`)."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from lightfm import LightFM

from benchmarks.quality.peers.fitted import Fitted
from benchmarks.quality.peers.matrix import user_movie_matrix
from benchmarks.quality.split import Array, Events


def fit(events: Events, settings: dict[str, Any], seed: int) -> Fitted:
    """Matrix factorisation by sampled ranks: Weston et al., IJCAI 2011; Kula 2015."""
    settings = dict(settings)
    epochs = settings.pop("epochs")
    model = LightFM(loss="warp", random_state=seed, **settings)
    matrix = user_movie_matrix(events).tocoo()
    model.fit(matrix, epochs=epochs, num_threads=os.cpu_count() or 1)
    _, users_by_factor = model.get_user_representations()
    movie_biases, movies_by_factor = model.get_item_representations()

    def score(users: Array) -> Array:
        # A user's own bias is the same for all movies.
        scores = users_by_factor[users] @ movies_by_factor.T + movie_biases
        return np.asarray(scores, np.float32)

    numbers = users_by_factor.size + movies_by_factor.size + movie_biases.size
    return Fitted(score, numbers)
