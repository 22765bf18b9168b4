"""Popularity: of all time, of late, and decayed."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.quality.peers.fitted import Fitted
from benchmarks.quality.split import Array, Events

_DAY = 86_400  # seconds


def fit_popularity(events: Events, settings: dict[str, Any], seed: int) -> Fitted:
    """Number of events of a movie."""
    counts = np.bincount(events.movie, minlength=events.num_movies)
    scores = counts.astype(np.float32)
    return Fitted(lambda users: np.tile(scores, (len(users), 1)), events.num_movies)


def fit_recent_popularity(
    events: Events, settings: dict[str, Any], seed: int
) -> Fitted:
    """Number of a movie's events in the `days` up to the user's last event.

    Equal counts are told apart by popularity of all time.
    """
    counts = np.bincount(events.movie, minlength=events.num_movies)
    tie_break = counts / (counts.max() + 1)
    times = _times_by_movie(events, counts)
    now = _last_times(events)
    length = int(settings["days"] * _DAY)

    def score(users: Array) -> Array:
        scores = np.empty((len(users), events.num_movies), np.float32)
        end = now[users]
        for movie, seconds in enumerate(times):
            until = np.searchsorted(seconds, end, side="right")
            since = np.searchsorted(seconds, end - length, side="right")
            scores[:, movie] = until - since + tie_break[movie]
        return scores

    return Fitted(score, len(events.movie))


def fit_decayed_popularity(
    events: Events, settings: dict[str, Any], seed: int
) -> Fitted:
    """Sum of a movie's events up to the user's last, each halved every `half_life`.

    Events after the user's last are not counted: they are its future.

    Args:
      events: What it is fitted to.
      settings: `half_life` in days.
      seed: Unused.
    """
    counts = np.bincount(events.movie, minlength=events.num_movies)
    now = _last_times(events)
    rate = np.log(2) / (settings["half_life"] * _DAY)
    times = _times_by_movie(events, counts)
    sums = [_decayed_sums(seconds, rate) for seconds in times]

    def score(users: Array) -> Array:
        scores = np.zeros((len(users), events.num_movies), np.float64)
        end = now[users]
        for movie, (seconds, total) in enumerate(zip(times, sums, strict=True)):
            if not len(seconds):
                continue
            place = np.searchsorted(seconds, end, side="right") - 1
            age = end - seconds[np.maximum(place, 0)]
            value = total[np.maximum(place, 0)] * np.exp(-rate * age)
            scores[:, movie] = np.where(place >= 0, value, 0)
        return scores.astype(np.float32)

    return Fitted(score, len(events.movie))


def _decayed_sums(seconds: Array, rate: float) -> Array:
    """Sum of exp(-rate * age) over the events up to each one."""
    total = np.empty(len(seconds))
    running = 0.0
    for i, decay in enumerate(np.exp(-rate * np.diff(seconds, prepend=seconds[:1]))):
        running = running * decay + 1
        total[i] = running
    return total


def _times_by_movie(events: Events, counts: Array) -> list[Array]:
    """Times of each movie's events, ascending."""
    order = np.lexsort((events.timestamp, events.movie))
    return np.split(events.timestamp[order], np.cumsum(counts)[:-1])


def _last_times(events: Events) -> Array:
    """Time of each user's last event: int64 `[num_users]`."""
    last = np.zeros(events.num_users, np.int64)
    np.maximum.at(last, events.user, events.timestamp)
    return last
