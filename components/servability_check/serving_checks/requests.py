"""The requests that the checks are made of."""

from __future__ import annotations

import collections
import functools
import itertools
from typing import Any, Final

from .calls import Row, attributes_of, history_of

USUAL_K: Final = 10
BATCH: Final = 32
UNKNOWN_USER: Final = "no such user \u2400"
# A year in which no movie can have been released.
_NEVER: Final = 9998


class Requests:
    """Real users and movies, and the limits of the model.

    Args:
      content: JSON-like:
        `types`: name -> the documented types, see `calls.Client`;
        `signatures`: names of what a server offers;
        `users`: rows of the eval split, see `components.servability_check.queries`;
        `corpus`: `movie_id`, `genres` and `year` (0 if unknown) of all movies, a list
          each; `genre_names`: those that a request may name;
        `is_exact`: whether the index searches all movies;
        `limits`: `max_batch`, `max_history`, `max_filters` and `max_k` of a request;
        `max_latency_ms`: None for no limit.

    Attributes:
      types, signatures, users, limits, max_latency_ms, is_exact: The same.
      corpus: All movie ids.
      usual_k: Movies that most requests ask for.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.types: dict[str, Any] = content["types"]
        self.signatures: list[str] = content["signatures"]
        self.users: list[dict[str, Any]] = content["users"]
        self.limits: dict[str, int] = content["limits"]
        self.max_latency_ms: float | None = content["max_latency_ms"]
        self.is_exact: bool = content["is_exact"]
        self._movies: dict[str, list[Any]] = content["corpus"]
        self._genre_names: list[str] = content["genre_names"]
        self.corpus = frozenset(self._movies["movie_id"])
        self.usual_k = min(USUAL_K, self.limits["max_k"])

    def some_users(self, count: int = BATCH) -> list[dict[str, Any]]:
        """Returns users, those of a batch at most."""
        return self.users[: min(count, self.limits["max_batch"])]

    @functools.cached_property
    def filters(self) -> list[dict[str, Any]]:
        """Filters of requests: each kind, combinations, and one that nothing passes."""
        genres = collections.Counter(itertools.chain(*self._movies["genres"]))
        names = [name for name, _ in genres.most_common() if name in self._genre_names]
        years = sorted(year for year in self._movies["year"] if year)
        found: list[dict[str, Any]] = [{"first_year": _NEVER}]
        if names:
            several = [names[-1], *names[1:2]][: self.limits["max_filters"]]
            found += [{"genres": names[:1]}, {"genres": several}]
        if years:
            middle = years[len(years) // 2]
            found += [{"first_year": middle}, {"last_year": middle}]
            found += [{"first_year": middle, "last_year": middle, "genres": names[:1]}]
        return found

    def allowed(self, row: Row) -> frozenset[str]:
        """Returns the movies that pass the filters of a row."""
        genres, last = {*row.get("genres", ())}, row.get("last_year", 0)
        first = row.get("first_year", 0)
        if not (genres or first or last):
            return self.corpus
        movies = self._movies
        return frozenset(
            movie
            for movie, names, year in zip(
                movies["movie_id"], movies["genres"], movies["year"], strict=True
            )
            if (not genres or genres.intersection(names))
            and (not first or (year and year >= first))
            and (not last or (year and year <= last))
        )

    def rows(self, signature: str) -> list[dict[str, Any]]:
        """Returns rows that have nothing in common but the signature.

        Their lists are of different lengths, and each asks for another number of
        movies.
        """
        if signature == "similar_movies":
            movies = self._movies["movie_id"]
            rows: list[dict[str, Any]] = [{"movie_id": m} for m in movies[:3]]
            rows.append({"movie_id": UNKNOWN_USER})
        elif signature == "serving_default":
            rows = [{"user_id": user["user_id"]} for user in self.some_users(3)]
            rows.append({"user_id": UNKNOWN_USER})
        else:
            rows = self._rows_with_events(signature)
        rows = rows[: self.limits["max_batch"]]
        return [row | {"k": 1 + n % self.usual_k} for n, row in enumerate(rows)]

    def _rows_with_events(self, signature: str) -> list[dict[str, Any]]:
        users = self.some_users(4)
        rows: list[dict[str, Any]] = []
        for number, user in enumerate(users):
            length = min(2 + number, self.limits["max_history"])
            row = {"user_id": user["user_id"], **history_of(user, length)}
            excluded = self._movies["movie_id"][: 1 + number]
            row |= {"exclude_movie_ids": excluded[: self.limits["max_filters"]]}
            if signature == "recommend_from_history":
                row |= attributes_of(user)
            rows.append(row | self.filters[-1 - number % len(self.filters)])
        return [*rows, {"user_id": UNKNOWN_USER}]
