"""Item-to-item Markov chain: what follows what, in the order of events."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.quality.peers.fitted import Fitted
from benchmarks.quality.split import Array, Events


def fit(events: Events, settings: dict[str, Any], seed: int) -> Fitted:
    """Counts which movies follow a movie, and scores by a user's last events.

        weight(i -> j) = sum over users of decay^(gap - 1), gap from 1 to `reach`
        P(j | i) = weight(i -> j) / (sum over j of weight(i -> j) + shrink)
        score(user, j) = sum of fade^age * P(j | i) over the last `events` i

    With `reach` 1 and `events` 1 it is the chain of first order. Small counts are
    drawn towards popularity, which also orders what never followed.

    Source: Rendle et al., "Factorizing Personalized Markov Chains", WWW 2010 (the
    chain that is not factorised).
    """
    counts = np.bincount(events.movie, minlength=events.num_movies)
    popular = counts / counts.sum()
    follows = _followers(events, settings["reach"], settings["decay"])
    total = np.asarray(follows.sum(axis=1)).ravel()
    shrink = settings["shrink"]
    follows = sparse.diags(1 / (total + shrink)) @ follows
    prior = shrink / (total + shrink)
    ends = np.cumsum(np.bincount(events.user, minlength=events.num_users))
    starts = np.append(0, ends[:-1])

    def score(users: Array) -> Array:
        ages = np.arange(settings["events"])
        places = ends[users][:, None] - 1 - ages
        is_there = places >= starts[users][:, None]
        row, age = np.nonzero(is_there)
        shape = (len(users), events.num_movies)
        last = events.movie[places[is_there]]
        weights = settings["fade"] ** age
        recent = sparse.csr_matrix((weights, (row, last)), shape=shape)
        scores = (recent @ follows).toarray()
        scores += (recent @ prior)[:, None] * popular
        return np.asarray(scores, np.float32)

    return Fitted(score, int(follows.nnz))


def _followers(events: Events, reach: int, decay: float) -> Any:
    """Weighted counts of followers: float64 CSR `[num_movies, num_movies]`."""
    shape = (events.num_movies, events.num_movies)
    found = sparse.csr_matrix(shape)
    for gap in range(1, reach + 1):
        before, after = slice(None, -gap), slice(gap, None)
        same = events.user[before] == events.user[after]
        pair = events.movie[before][same], events.movie[after][same]
        weights = np.full(len(pair[0]), decay ** (gap - 1))
        found = found + sparse.csr_matrix((weights, pair), shape=shape)
    return found
