"""EASE: a linear model of movies by movies, in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg

from benchmarks.quality.peers.fitted import Fitted
from benchmarks.quality.peers.matrix import user_movie_matrix
from benchmarks.quality.split import Array, Events


def fit(events: Events, settings: dict[str, Any], seed: int) -> Fitted:
    """Ridge regression of every movie on all others.

        P = (X'X + regularization * I)^-1,  B = I - P / diag(P)

    Source: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019,
    arXiv:1905.03375.
    """
    matrix = user_movie_matrix(events)
    gram = (matrix.T @ matrix).toarray()
    gram[np.diag_indices_from(gram)] += settings["regularization"]
    # By Cholesky, a third of the work of a general inverse.
    factor, info = linalg.lapack.spotrf(gram.astype(np.float32), lower=True)
    inverse, info_of_inverse = linalg.lapack.spotri(factor, lower=True)
    if info or info_of_inverse:
        raise ValueError(
            f"EASE's matrix is not positive definite at {settings}: raise it"
        )
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)

    def score(users: Array) -> Array:
        return np.asarray(matrix[users] @ weights, np.float32)

    return Fitted(score, weights.size)
