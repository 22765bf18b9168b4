"""What queries are sliced by: features of eval rows that no model ever reads.

TFMA slices on exact values of features, so what a slice is about has to stand in the
row. Everything about held-out movies tells of the answer: `trainer.export` names the
features that a model may read, and the schema allows these in the eval split alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from components.movielens_example_gen import encoding
from trainer import features as f

# Lower bounds of the age groups that ML-1M publishes, in years.
_AGE_BOUNDS: Final = (18, 25, 35, 45, 50, 56)
_POPULARITY: Final = (b"head", b"middle", b"tail")


def bucket(value: int, bounds: tuple[int, ...]) -> str:
    """The bucket of a number, for instance "020-049" or "200+".

    Args:
      value: Not negative.
      bounds: Lower bounds of all buckets but the first, rising.
    """
    width = len(str(bounds[-1])) if bounds else 1
    lower = max((bound for bound in bounds if bound <= value), default=0)
    upper = next((bound - 1 for bound in bounds if bound > value), None)
    if upper is None:
        return f"{lower:0{width}d}+"
    return f"{lower:0{width}d}-{upper:0{width}d}"


def popularity_classes(num_ratings: NDArray[np.int64]) -> NDArray[np.int64]:
    """Parts movies into head (0), middle (1) and tail (2).

    The head are the most popular movies, as few as have a third of all training events,
    the middle those that have the next third. Movies of one count are of one class.

    Args:
      num_ratings: `[num_movies]` training events.

    Returns:
      int64 `[num_movies]`.
    """
    counts, place = np.unique(-num_ratings, return_inverse=True)
    events = np.bincount(place, weights=num_ratings, minlength=len(counts))
    more_popular = np.cumsum(events) - events
    total = max(float(events.sum()), 1.0)
    # Nobody in training has seen a movie without events: tail, also where no one has.
    share = np.where(counts < 0, more_popular / total, 1.0)
    classes: NDArray[np.int64] = np.minimum((share * 3).astype(np.int64), 2)
    return classes[place]


@dataclass(frozen=True)
class MovieSlices:
    """What a query is sliced by when the movie is held out.

    Attributes:
      popularity: `[num_movies]` head, middle or tail.
      genres: `[num_movies]` genres of each.
      decades: `[num_movies]` such as "1990s", or "unknown".
    """

    popularity: list[bytes]
    genres: list[list[bytes]]
    decades: list[bytes]

    @classmethod
    def of(cls, corpus: Sequence[Any]) -> MovieSlices:
        """Takes them from the record batches of the staged corpus."""
        columns = {
            name: [
                value for batch in corpus for value in batch.column(name).to_pylist()
            ]
            for name in (f.GENRES, f.YEAR, f.NUM_RATINGS)
        }
        classes = popularity_classes(np.array(columns[f.NUM_RATINGS], np.int64))
        return cls(
            [_POPULARITY[place] for place in classes],
            [[genre.encode() for genre in genres] for genres in columns[f.GENRES]],
            [_decade(year) for year in columns[f.YEAR]],
        )

    def features(self, movies: list[int]) -> dict[str, bytes]:
        """Encodes the slices of a query, each value once.

        Args:
          movies: What is held out, as places in the corpus.
        """
        genres = {genre for movie in movies for genre in self.genres[movie]}
        return {
            f.HELD_OUT_POPULARITY: _strings({self.popularity[m] for m in movies}),
            f.HELD_OUT_GENRES: _strings(genres),
            f.HELD_OUT_DECADES: _strings({self.decades[m] for m in movies}),
        }


def user_features(num_events: int, age: int | None) -> dict[str, bytes]:
    """Encodes what a query is sliced by for the user's sake.

    Args:
      num_events: Of the user's whole training timeline.
      age: Years; None where the edition does not tell.
    """
    features = {f.USER_KIND: _strings({b"warm" if num_events else b"cold"})}
    if age is not None:
        features[f.AGE_GROUP] = _strings({bucket(age, _AGE_BOUNDS).encode()})
    return features


def _decade(year: int | None) -> bytes:
    return b"unknown" if year is None else b"%ds" % (year // 10 * 10)


def _strings(values: set[bytes]) -> bytes:
    return encoding.bytes_feature(sorted(values))
