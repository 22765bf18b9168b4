"""What a model is built from: configuration, vocabularies, attributes of movies."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from numpy.typing import NDArray

from trainer.config import ModelConfig
from trainer.movielens import HALF_STARS, RatingScale

# Width of the query tower's hidden layer, and from how many events on it is the wide
# one: docs/model.md, "By size".
_HIDDEN_UNITS: Final = 64
_WIDE_HIDDEN_UNITS: Final = 256
_WIDE_FROM_EVENTS: Final = 500_000


class CandidateFeatures(NamedTuple):
    """Attributes of each movie, by vocabulary index.

    The last row stands for all movies outside the vocabulary.

    Attributes:
      genre_weights: float32 `[num_movies + 1, genres]`, rows sum to 1 or to 0.
      year_index: int32 `[num_movies + 1]`, 1 + years since 1900, 0 where unknown.
      title_tokens: int32 `[num_movies + 1, tokens]`, -1 where the title is shorter.
      num_title_tokens: Title vocabulary, its out-of-vocabulary bucket included.
      is_rated: bool `[num_movies + 1]`, whether the train split has an event of the
        movie.
    """

    genre_weights: NDArray[Any]
    year_index: NDArray[Any]
    title_tokens: NDArray[Any]
    num_title_tokens: int
    is_rated: NDArray[Any]

    @property
    def num_movies(self) -> int:
        """Movies of the vocabulary, without the out-of-vocabulary row."""
        return len(self.year_index) - 1


class ModelContext(NamedTuple):
    """What the constructor of every tower and history encoder receives.

    Attributes:
      config: The section `model` of the configuration.
      movies: Attributes of the corpus.
      num_users: Users of the vocabulary; this number is the index of unknown users.
      attribute_sizes: Values of each user attribute, 0 ("unknown") included.
      window_length: Events of a timeline that a query is made of, `L`.
      time_boundaries: int64 `[buckets - 1]`, ascending, in seconds since the epoch,
        UTC: they divide the events of the train split into buckets of equal size.
      rating_scale: The scale of the ratings of a timeline.
      seed: Seed of dropout; initial weights use Keras' global seed.
      num_events: Events of the train split.
    """

    config: ModelConfig
    movies: CandidateFeatures
    num_users: int
    attribute_sizes: tuple[int, ...]
    window_length: int
    time_boundaries: NDArray[Any]
    seed: int
    rating_scale: RatingScale = HALF_STARS
    num_events: int = 0

    @property
    def embedding_dim(self) -> int:
        """Width of a movie's and a user's embedding, without time and bias."""
        return self.config.embedding_dim

    @property
    def hidden_units(self) -> int:
        """Width of the query tower's hidden layer, 0 for none."""
        if self.config.hidden_units != "auto":
            return self.config.hidden_units
        is_wide = self.num_events >= _WIDE_FROM_EVENTS
        return _WIDE_HIDDEN_UNITS if is_wide else _HIDDEN_UNITS
