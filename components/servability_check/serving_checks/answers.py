"""Finds what is wrong with an answer of the served model."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Answer = dict[str, NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What a correct answer looks like.

    Attributes:
      where: Description of the request, for the reasons.
      k: Movies that each user asked for.
      corpus: All movie ids.
      seen: For each user the movies that must not be recommended.
      withheld: For each user how many movies of the corpus may be missing at the end.
    """

    where: str
    k: Sequence[int]
    corpus: frozenset[str]
    seen: Sequence[Collection[str]]
    withheld: Sequence[int]


def answer_faults(answer: Answer, expected: Expectation) -> Iterator[str]:
    """Yields what is wrong, for each kind of fault the first user that has it.

    Args:
      answer: `movie_ids`, `titles`, `genres` and `scores`, each `[users, k]` for the
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
    """Yields kind and description of each fault of one user's recommendations."""
    movies = [movie.decode("utf-8") for movie in answer["movie_ids"][row].tolist()]
    count = next((n for n, movie in enumerate(movies) if not movie), len(movies))
    movies, padding = movies[:count], movies[count:]
    scores, k = answer["scores"][row], expected.k[row]
    if any(padding):
        yield "gap", f"movies {[m for m in padding if m][:3]} come after empty ids"
    bad = scores[~np.isfinite(scores)]
    if len(bad):
        yield "finite", f"{len(bad)} of {len(scores)} scores are {bad[0]}"
    elif np.any(np.diff(scores) > 0):
        yield "order", "scores are not in descending order"
    if len(set(movies)) < count:
        twice = next(movie for movie in movies if movies.count(movie) > 1)
        yield "distinct", f'movie "{twice}" comes {movies.count(twice)} times'
    if strays := set(movies) - expected.corpus:
        yield "corpus", f'movie "{min(strays)}" is not in the corpus'
    if seen := set(movies).intersection(expected.seen[row]):
        yield "seen", f'movie "{min(seen)}" is one that the user has seen'
    if count > k:
        yield "k", f"{count} movies where {k} were asked for"
    least = min(k, len(expected.corpus) - expected.withheld[row])
    if count < least:
        yield "count", f"{count} movies where at least {least} can be recommended"
