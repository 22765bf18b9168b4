"""ALS and BPR of `implicit`."""

from __future__ import annotations

from typing import Any

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from threadpoolctl import threadpool_limits

from benchmarks.quality.peers.fitted import Fitted
from benchmarks.quality.peers.matrix import user_movie_matrix
from benchmarks.quality.split import Array, Events


def fit_als(events: Events, settings: dict[str, Any], seed: int) -> Fitted:
    """Weighted matrix factorisation: Hu, Koren and Volinsky, ICDM 2008."""
    return _fit(AlternatingLeastSquares(random_state=seed, **settings), events)


def fit_bpr(events: Events, settings: dict[str, Any], seed: int) -> Fitted:
    """Bayesian personalised ranking: Rendle et al., UAI 2009, arXiv:1205.2618."""
    return _fit(BayesianPersonalizedRanking(random_state=seed, **settings), events)


def _fit(model: Any, events: Events) -> Fitted:
    # As the library advises: its own threads do the work.
    with threadpool_limits(1, "blas"):
        model.fit(user_movie_matrix(events), show_progress=False)

    def score(users: Array) -> Array:
        return np.asarray(model.user_factors[users] @ model.item_factors.T, np.float32)

    return Fitted(score, model.user_factors.size + model.item_factors.size)
