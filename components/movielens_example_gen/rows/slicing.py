"""Features of eval rows to slice metrics by, which no model ever reads.

TFMA slices by exact values of features, so the row must hold what defines a slice.
Features of held-out movies give the answer away: `trainer.held_out_ranking` lists the
features that a model may read, and the schema allows these in the eval split only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.movielens_example_gen.rows import encoding
from trainer import features as f
from trainer.movielens import AGE_BOUNDS, RatingScale

# Classes of popularity, opinions, and kinds of users: values of `trainer.features`.
POPULARITY: Final = (b"head", b"middle", b"tail")
LIKED, NOT_LIKED = b"liked", b"not_liked"
WARM, COLD = b"warm", b"cold"


def bucket(value: int, bounds: tuple[int, ...]) -> str:
    """Returns the name of a number's bucket, for instance "020-049" or "200+".

    Args:
      value: Not negative.
      bounds: Lower bounds of all buckets but the first, in ascending order.
    """
    width = len(str(bounds[-1])) if bounds else 1
    lower = max((bound for bound in bounds if bound <= value), default=0)
    upper = next((bound - 1 for bound in bounds if bound > value), None)
    if upper is None:
        return f"{lower:0{width}d}+"
    return f"{lower:0{width}d}-{upper:0{width}d}"


def popularity_classes(num_ratings: NDArray[np.int64]) -> NDArray[np.int64]:
    """Classifies movies as head (0), middle (1) or tail (2).

    The head are the most popular movies that together have a third of all training
    events, the middle those with the next third. Movies with equally many events are
    in the same class.

    Args:
      num_ratings: `[num_movies]` training events.

    Returns:
      int64 `[num_movies]`.
    """
    counts, index = np.unique(-num_ratings, return_inverse=True)
    events = np.bincount(index, weights=num_ratings, minlength=len(counts))
    more_popular = np.cumsum(events) - events
    total = max(float(events.sum()), 1.0)
    # Movies without events are tail, even if no movie has any.
    share = np.where(counts < 0, more_popular / total, 1.0)
    classes: NDArray[np.int64] = np.minimum((share * 3).astype(np.int64), 2)
    return classes[index]


@dataclass(frozen=True)
class MovieSlices:
    """The slices of a query for which a movie is held out, by the movie's index.

    Attributes:
      popularity: `[num_movies]` head, middle or tail.
      genres: `[num_movies]` genres of each.
      decades: `[num_movies]` such as "1990s", or "unknown".
    """

    popularity: list[bytes]
    genres: list[list[bytes]]
    decades: list[bytes]

    @classmethod
    def of(cls, corpus: pa.Table) -> MovieSlices:
        """Reads them from the staged corpus."""
        classes = popularity_classes(corpus[f.NUM_RATINGS].to_numpy())
        genres = corpus[f.GENRES].to_pylist()
        return cls(
            [POPULARITY[index] for index in classes],
            [[genre.encode() for genre in listed] for listed in genres],
            [
                b"unknown" if year is None else b"%ds" % (year // 10 * 10)
                for year in corpus[f.YEAR].to_pylist()
            ],
        )

    def features(self, movies: list[int]) -> dict[str, bytes]:
        """Encodes the slices of a query, each value once.

        Args:
          movies: The movies held out, as indices into the corpus.
        """
        values = {
            f.HELD_OUT_POPULARITY: {self.popularity[movie] for movie in movies},
            f.HELD_OUT_GENRES: {g for movie in movies for g in self.genres[movie]},
            f.HELD_OUT_DECADES: {self.decades[movie] for movie in movies},
        }
        return {name: encoding.bytes_feature(sorted(v)) for name, v in values.items()}


def opinion(ratings: NDArray[np.float32], scale: RatingScale) -> dict[str, bytes]:
    """Encodes whether the user liked what is held out, each value once.

    Args:
      ratings: Of the held-out events, at least one.
      scale: Their scale: see `RatingScale.liked`.
    """
    values = {LIKED if liked else NOT_LIKED for liked in ratings >= scale.liked}
    return {f.HELD_OUT_OPINION: encoding.bytes_feature(sorted(values))}


def user_features(num_events: int, age: int | None) -> dict[str, bytes]:
    """Encodes the features of the user to slice by.

    Args:
      num_events: Length of the user's whole training timeline.
      age: Years; None if the edition has no ages.
    """
    features = {f.USER_KIND: encoding.bytes_feature([WARM if num_events else COLD])}
    if age is not None:
        group = bucket(age, AGE_BOUNDS)
        features[f.AGE_GROUP] = encoding.bytes_feature([group.encode()])
    return features
