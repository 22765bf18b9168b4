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
    """

    user: Array
    movie: Array
    rating: Array
    timestamp: Array
    num_users: int
    num_movies: int


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
        arrays, sizes = self.events[:4], self.events[4:]
        events = Events(*(column[kept] for column in arrays), *sizes)
        user = self.events.user[held]
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
            events = [file[name] for name in Events._fields]
            queries = [file[f"query_{name}"] for name in Queries._fields]
            is_validation = file["is_validation"]
        sizes = [int(size) for size in events[4:]]
        return cls(Events(*events[:4], *sizes), is_validation, Queries(*queries))


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
