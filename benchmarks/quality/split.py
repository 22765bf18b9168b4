"""The split that all rankers share, as plain arrays in one file.

Written by `prepare` from the pipeline's own Examples. It needs NumPy alone: both
environments read it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
# Users (int `[n]`) -> float32 scores of all movies, `[n, num_movies]`.
Scorer = Callable[[Array], Array]
PADDING = -1


class Events(NamedTuple):
    """What a ranker is fitted to: one element an event, each user's in time order.

    Attributes:
      user: int32 `[events]`.
      movie: int32 `[events]`, corpus rows.
      rating: float32 `[events]`, stars.
      timestamp: int64 `[events]`, seconds since the epoch, UTC.
      num_users: Users in all.
      num_movies: Movies of the corpus, those that nobody rated included.
      request_time: int64 `[num_users]`: when each user asks, which a server knows. That
        is the time of the (first) held-out event; without one, of the last event.
    """

    user: Array
    movie: Array
    rating: Array
    timestamp: Array
    num_users: int
    num_movies: int
    request_time: Array


class Queries(NamedTuple):
    """What is ranked for whom.

    Attributes:
      user: int32 `[queries]`.
      seen: int32 `[queries, seen]`, corpus rows, padded: no candidates.
      held_out: int32 `[queries, held_out]`, corpus rows, padded: to be found.
    """

    user: Array
    seen: Array
    held_out: Array


class Split(NamedTuple):
    """One dataset's train and eval split, and a validation split inside of train.

    Attributes:
      events: The train split.
      is_validation: bool `[events]`: what settings are chosen by.
      queries: The eval split.
    """

    events: Events
    is_validation: Array
    queries: Queries

    def fitted(self, validating: bool) -> tuple[Events, Queries]:
        """Returns what to fit to and what to rank: the real one, or for tuning."""
        if not validating:
            return self.events, self.queries
        kept, held = ~self.is_validation, self.is_validation
        all_events, user = self.events, self.events.user[held]
        times = last_times(all_events.user, all_events.timestamp, all_events.num_users)
        # Held out are a user's last event, or any ones.
        first = np.flatnonzero(np.append(True, np.diff(user) != 0))
        times[user[first]] = all_events.timestamp[held][first]
        events = Events(
            *(column[kept] for column in all_events[:4]), *all_events[4:6], times
        )
        asked = np.unique(user).astype(np.int32)
        return events, Queries(
            asked,
            lists(events.user, events.movie, asked),
            lists(user, self.events.movie[held], asked),
        )

    def save(self, path: Path) -> None:
        """Writes the file that `load` reads."""
        content = {**self.events._asdict(), "is_validation": self.is_validation}
        content |= {f"query_{k}": v for k, v in self.queries._asdict().items()}
        np.savez(path, **content)

    @classmethod
    def load(cls, path: Path) -> Split:
        """Reads a file of `save`."""
        with np.load(path) as file:
            events = Events(*(file[name] for name in Events._fields))
            queries = Queries(*(file[f"query_{name}"] for name in Queries._fields))
            is_validation = file["is_validation"]
        sizes = int(events.num_users), int(events.num_movies)
        events = events._replace(num_users=sizes[0], num_movies=sizes[1])
        return cls(events, is_validation, queries)


def last_times(user: Array, timestamp: Array, num_users: int) -> Array:
    """Time of each user's last event: int64 `[num_users]`, 0 without an event."""
    times = np.zeros(num_users, np.int64)
    np.maximum.at(times, user, timestamp)
    return times


def lists(user: Array, movie: Array, asked: Array) -> Array:
    """Movies of each asked user: int32 `[asked, longest]`, padded.

    Args:
      user: Users of the events.
      movie: Movies of the events, aligned.
      asked: Users, ascending, each once.
    """
    row = np.searchsorted(asked, user)
    is_asked = asked[np.minimum(row, len(asked) - 1)] == user
    row, movie = row[is_asked], movie[is_asked]
    order = np.argsort(row, kind="stable")
    row, movie = row[order], movie[order]
    lengths = np.bincount(row, minlength=len(asked))
    place = np.arange(len(row)) - (np.cumsum(lengths) - lengths)[row]
    padded = np.full((len(asked), int(lengths.max(initial=1))), PADDING, np.int32)
    padded[row, place] = movie
    return padded
