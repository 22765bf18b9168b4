"""Popularity, of all time and of late."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.quality.split import Array, Events, Scorer

_DAY = 86_400  # seconds


def fit_popularity(events: Events, settings: dict[str, Any], seed: int) -> Scorer:
    """Number of events of a movie."""
    counts = np.bincount(events.movie, minlength=events.num_movies)
    scores = counts.astype(np.float32)
    return lambda users: np.tile(scores, (len(users), 1))


def fit_recent_popularity(
    events: Events, settings: dict[str, Any], seed: int
) -> Scorer:
    """Number of a movie's events in the `days` up to the user's last event.

    Equal counts are told apart by popularity of all time.
    """
    counts = np.bincount(events.movie, minlength=events.num_movies)
    tie_break = counts / (counts.max() + 1)
    order = np.lexsort((events.timestamp, events.movie))
    times = np.split(events.timestamp[order], np.cumsum(counts)[:-1])
    now = np.zeros(events.num_users, np.int64)
    np.maximum.at(now, events.user, events.timestamp)
    length = int(settings["days"] * _DAY)

    def score(users: Array) -> Array:
        scores = np.empty((len(users), events.num_movies), np.float32)
        end = now[users]
        for movie, seconds in enumerate(times):
            until = np.searchsorted(seconds, end, side="right")
            since = np.searchsorted(seconds, end - length, side="right")
            scores[:, movie] = until - since + tie_break[movie]
        return scores

    return score
