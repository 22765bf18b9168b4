"""Events as a sparse matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.quality.split import Events


def user_movie_matrix(events: Events) -> Any:
    """1 where a user has watched a movie: float32 CSR `[num_users, num_movies]`."""
    ones = np.ones(len(events.user), np.float32)
    shape = (events.num_users, events.num_movies)
    matrix = sparse.csr_matrix((ones, (events.user, events.movie)), shape=shape)
    matrix.data[:] = 1  # an event that is there twice
    return matrix
