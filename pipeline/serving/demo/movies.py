"""The movies and users that a version knows, for search."""

from __future__ import annotations

import heapq
import random
import threading
import unicodedata
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from trainer import features as f
from trainer.movielens import CHILDRENS, GENRES
from trainer.serving_contract import CATALOGUE, STORED_USERS
from trainer.text import printable


@dataclass(frozen=True)
class Movie:
    """A movie as the page shows it.

    Attributes:
      id: As in the edition.
      title: As published, without control characters.
      genres: In the edition's words.
      year: 0 where unknown.
      num_ratings: Events that the version was trained on.
      is_known: Whether it is in the corpus of the version.
    """

    id: str
    title: str
    genres: Sequence[str] = ()
    year: int = 0
    num_ratings: int = 0
    is_known: bool = True


class Movies:
    """The corpus of one version.

    Args:
      movies: All of them.
    """

    def __init__(self, movies: Iterable[Movie]) -> None:
        self._by_id = {movie.id: movie for movie in movies}
        self._searched = [(_folded(m.title), m) for m in self._by_id.values()]
        listed = {genre for m in self._by_id.values() for genre in m.genres}
        # Others, such as "unknown", are no genres that a model filters by.
        self.genres = sorted(listed & {*GENRES, CHILDRENS})
        years = [movie.year for movie in self._by_id.values() if movie.year]
        self.first_year, self.last_year = min(years, default=0), max(years, default=0)

    def __len__(self) -> int:
        """Returns the size of the corpus."""
        return len(self._by_id)

    @classmethod
    def read(cls, model: Any) -> Movies:
        """Reads the catalogue of a loaded SavedModel."""
        columns = CATALOGUE.call(model)
        return cls(
            Movie(
                text(movie_id),
                printable(text(title)),
                [printable(genre) for genre in text(genres).split("|") if genre],
                int(year),
                int(num_ratings),
            )
            for movie_id, title, genres, year, num_ratings in zip(
                *(columns[name] for name in CATALOGUE.outputs), strict=True
            )
        )

    def get(self, movie_id: str) -> Movie:
        """Returns the movie of an id, also of one that is not in the corpus."""
        return self._by_id.get(movie_id) or Movie(
            movie_id, f"Movie {printable(movie_id)}", is_known=False
        )

    def search(self, query: str, limit: int) -> list[Movie]:
        """Returns the movies whose title has all words of the query, best first.

        Those whose title begins with the query come first, then those that have a word
        which begins like each of the query's, and of these the most rated ones. Case
        and accents do not count. An empty query finds the most rated movies.
        """
        whole = _folded(query).strip()
        words = whole.split()

        def order(found: tuple[str, Movie]) -> tuple[bool, bool, int]:
            title, movie = found
            starts = all(f" {word}" in f" {title}" for word in words)
            return not title.startswith(whole), not starts, -movie.num_ratings

        found = (
            entry for entry in self._searched if all(word in entry[0] for word in words)
        )
        return [movie for _, movie in heapq.nsmallest(limit, found, key=order)]


class Users:
    """The users with a stored timeline.

    Args:
      user_ids: All of them.
    """

    def __init__(self, user_ids: Sequence[str]) -> None:
        self._ids = user_ids

    def __len__(self) -> int:
        """Returns the number of users."""
        return len(self._ids)

    @classmethod
    def read(cls, model: Any) -> Users:
        """Reads the ids from a loaded SavedModel."""
        return cls([text(user) for user in STORED_USERS.call(model)[f.USER_ID]])

    def search(self, query: str, limit: int) -> list[str]:
        """Returns the ids that contain the query, those that begin with it first."""
        found = (user for user in self._ids if query in user)
        return heapq.nsmallest(
            limit, found, key=lambda user: (not user.startswith(query), len(user), user)
        )

    def any(self) -> str | None:
        """Returns a random id, or None if there is no user."""
        return random.choice(self._ids) if self._ids else None


@dataclass(frozen=True)
class Known:
    """What a version knows by name."""

    movies: Movies
    users: Users


class KnownByVersion:
    """Reads once from each loaded model what it knows, until the model is gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: weakref.WeakKeyDictionary[Any, Known] = weakref.WeakKeyDictionary()

    def of(self, model: Any) -> Known:
        """Returns the movies and users of a loaded SavedModel."""
        with self._lock:
            if model not in self._known:
                self._known[model] = Known(Movies.read(model), Users.read(model))
            return self._known[model]


def text(value: bytes) -> str:
    """Returns an output of the model as text."""
    return value.decode(errors="replace")


def _folded(title: str) -> str:
    """Returns a title without case and accents."""
    parts = unicodedata.normalize("NFKD", title.casefold())
    return "".join(part for part in parts if not unicodedata.combining(part))
