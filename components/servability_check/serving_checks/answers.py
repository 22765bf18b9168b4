"""Finds what is wrong with an answer of the served model."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .calls import Answer

# Share of a row's largest score that is rounding: sums of float32 in another order.
_ROUNDING: Final = 1e-4


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What a correct answer looks like. Sets of movie ids have one item for each row.

    Attributes:
      where: Description of the request, for the reasons.
      k: Movies that each row asked for.
      corpus: All movie ids.
      seen: Those that must not be recommended.
      unsure: Those that may be missing, because a served model may know more of a user.
      allowed: Those that pass the filters of the row; None for the corpus.
      is_sorted: Whether scores must be in descending order.
    """

    where: str
    k: Sequence[int]
    corpus: frozenset[str]
    seen: Sequence[Collection[str]]
    unsure: Sequence[Collection[str]] | None = None
    allowed: Sequence[frozenset[str]] | None = None
    is_sorted: bool = True

    def num_left(self, row: int) -> int:
        """How many movies can certainly be recommended to a row."""
        allowed = self.allowed[row] if self.allowed else self.corpus
        missing = {*self.seen[row], *(self.unsure[row] if self.unsure else ())}
        return len(allowed) - len(missing & allowed)


def answer_faults(answer: Answer, expected: Expectation) -> Iterator[str]:
    """Yields what is wrong, for each kind of fault the first row that has it.

    Args:
      answer: `movie_ids`, `titles`, `genres` and `scores`, each `[rows, k]` for the
        largest k of the request.
      expected: What a correct answer looks like.
    """
    shape = (len(expected.seen), max(expected.k))
    for name, values in answer.items():
        if values.shape != shape:
            yield f"{expected.where}: {name} has the shape {values.shape}, not {shape}"
            return
    reported: set[str] = set()
    for row in range(len(expected.seen)):
        for kind, fault in _row_faults(answer, row, expected):
            if kind not in reported:
                reported.add(kind)
                yield f"{expected.where}: {fault}"


def _row_faults(
    answer: Answer, row: int, expected: Expectation
) -> Iterator[tuple[str, str]]:
    """Yields kind and description of each fault of one row's recommendations."""
    movies = [movie.decode("utf-8") for movie in answer["movie_ids"][row].tolist()]
    count = next((n for n, movie in enumerate(movies) if not movie), len(movies))
    movies, padding = movies[:count], movies[count:]
    scores, k = answer["scores"][row], expected.k[row]
    if any(padding):
        yield "gap", f"movies {[m for m in padding if m][:3]} come after empty ids"
    bad = scores[~np.isfinite(scores)]
    if len(bad):
        yield "finite", f"{len(bad)} of {len(scores)} scores are {bad[0]}"
    elif expected.is_sorted and np.any(np.diff(scores) > 0):
        yield "order", "scores are not in descending order"
    if len(set(movies)) < count:
        twice = next(movie for movie in movies if movies.count(movie) > 1)
        yield "distinct", f'movie "{twice}" comes {movies.count(twice)} times'
    if strays := set(movies) - expected.corpus:
        yield "corpus", f'movie "{min(strays)}" is not in the corpus'
    elif expected.allowed and (strays := set(movies) - expected.allowed[row]):
        yield "filter", f'movie "{min(strays)}" does not pass the filters of the row'
    if seen := set(movies).intersection(expected.seen[row]):
        yield "seen", f'movie "{min(seen)}" is one that the user has seen or excluded'
    if count > k:
        yield "k", f"{count} movies where {k} were asked for"
    least = min(k, expected.num_left(row))
    if count < least:
        yield "count", f"{count} movies where at least {least} can be recommended"


@dataclasses.dataclass(frozen=True)
class Listed:
    """Recommended movies of one row, best first.

    Attributes:
      movies: Their ids.
      scores: float32 `[movies]`.
    """

    movies: list[str]
    scores: NDArray[Any]

    @classmethod
    def of(cls, answer: Answer, row: int) -> Listed:
        """Takes them from an answer, without what stands in place of no movie."""
        movies = [movie.decode("utf-8") for movie in answer["movie_ids"][row] if movie]
        return cls(movies, answer["scores"][row, : len(movies)])

    @property
    def rounding(self) -> float:
        """How much scores may differ although they are the same."""
        return _ROUNDING * max(1.0, float(np.abs(self.scores).max(initial=0.0)))

    def order_fault(self, expected: Sequence[str]) -> str | None:
        """Returns where the movies are not the expected ones; None if they are.

        Movies of the same score may change places, also with those that just miss the
        end of one of the lists.
        """
        if len(self.movies) != len(expected):
            return f"{len(self.movies)} movies and not {len(expected)}"
        place = {movie: index for index, movie in enumerate(self.movies)}
        last = len(self.movies) - 1
        for index, (found, wanted) in enumerate(
            zip(self.movies, expected, strict=True)
        ):
            other = place.get(wanted, last)
            if abs(self.scores[index] - self.scores[other]) > self.rounding:
                return f'place {index + 1} is movie "{found}" and not "{wanted}"'
        return None

    def only(self, movies: Collection[str]) -> Listed:
        """Returns some of the movies, in the same order."""
        kept = [index for index, m in enumerate(self.movies) if m in movies]
        return Listed([self.movies[index] for index in kept], self.scores[kept])

    def fault(self, expected: Listed, is_exact: bool = True) -> str | None:
        """Returns where movies or scores are not the expected ones.

        Args:
          expected: The right answer.
          is_exact: Whether the index is. Else the two may miss different movies, and
            only those that are in both count.
        """
        if not is_exact:
            common = {*self.movies} & {*expected.movies}
            return self.only(common).fault(expected.only(common))
        if fault := self.order_fault(expected.movies):
            return fault
        differences = np.abs(self.scores - expected.scores)
        if len(differences) and differences.max() > self.rounding:
            index = int(differences.argmax())
            return (
                f"the score at place {index + 1} is {self.scores[index]:.6g} and not "
                f"{expected.scores[index]:.6g}"
            )
        return None
