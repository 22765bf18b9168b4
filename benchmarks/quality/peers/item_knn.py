"""Item-based nearest neighbours: cosine, shrunk."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.quality.peers.fitted import Fitted
from benchmarks.quality.peers.matrix import user_movie_matrix
from benchmarks.quality.split import Array, Events


def fit(events: Events, settings: dict[str, Any], seed: int) -> Fitted:
    """Sums the similarities of a movie's nearest neighbours that the user watched.

        similarity(i, j) = common users / (sqrt(users of i * users of j) + shrink)

    Source: Deshpande and Karypis, "Item-Based Top-N Recommendation Algorithms", ACM
    TOIS 22(1), 2004; Bell and Koren 2007 for the shrinking.
    """
    matrix = user_movie_matrix(events)
    common = (matrix.T @ matrix).toarray()
    norms = np.sqrt(common.diagonal())
    similarity = common / (np.outer(norms, norms) + settings["shrink"] + 1e-9)
    np.fill_diagonal(similarity, 0)
    k = min(settings["neighbours"], events.num_movies)
    cut = -np.partition(-similarity, k - 1, axis=0)[k - 1]
    similarity[similarity < cut] = 0  # each column keeps its k largest
    neighbours = sparse.csr_matrix(similarity)

    def score(users: Array) -> Array:
        return np.asarray((matrix[users] @ neighbours).toarray(), np.float32)

    return Fitted(score, int(neighbours.nnz))
