"""Checks that the signatures recommend what the evaluation has measured."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from .answers import Listed
from .calls import ATTRIBUTES, EVENTS, Client, attributes_of, history_of
from .requests import UNKNOWN_USER, Requests

_SIGNATURE: Final = "recommend_from_history"
# How much less an approximate index may find than the evaluation has measured: the two
# do not ask it for the same number of movies.
_RECALL_TOLERANCE: Final = 0.05
_SHOWN_CAUSES: Final = 3
# Share of the users whose answers an explanation must explain.
_MOST: Final = 0.5
User = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Ranked:
    """The evaluation's ranking of one row.

    Attributes:
      movies: Ids of the best movies that a request can get, best first.
      recall: Share of the best movies that the model's index finds.
      ranks: Rank of each held-out movie.
    """

    movies: list[str]
    recall: float
    ranks: dict[str, int]


def check_evaluation(client: Client, requests: Requests) -> Iterator[str]:
    """Compares the function `evaluate` on eval rows with answers to the same queries.

    A request has the events of the row, its attributes and user, and excludes what the
    row has seen. The answer of an exact index must be the same, movies of equal scores
    apart; of an approximate one what it finds must be in the same order, and as much as
    the evaluation has measured.
    """
    limits = requests.limits
    users = [
        user
        for user in requests.some_users()
        if len(user["movie_ids"]) <= limits["max_history"]
        and len(user["seen_before"]) <= limits["max_filters"]
    ]
    if not users:
        return
    check = _Comparison(client, limits["max_k"], requests.is_exact)
    sizes = {int(size) for size in check.evaluate(users)["corpus_size"].ravel()}
    if sizes != {len(check.catalogue)}:
        yield (
            f"evaluate ranks {max(sizes)} movies, but the catalogue has "
            f"{len(check.catalogue)}"
        )
        return
    ranked, answers = check.ranked(users), check.answers(users)
    faults = [check.fault(*pair) for pair in zip(ranked, answers, strict=True)]
    differing = [index for index, fault in enumerate(faults) if fault]
    if differing:
        first = differing[0]
        yield (
            f"{_SIGNATURE} does not answer what the evaluation ranks, for "
            f"{len(differing)} of {len(users)} users. For user "
            f'"{users[first]["user_id"]}" {faults[first]}'
            f"{check.explanation([users[index] for index in differing])}"
        )
        return
    wanted = np.mean([row.recall for row in ranked])
    found = np.mean([_share(*pair) for pair in zip(ranked, answers, strict=True)])
    if found < wanted - _RECALL_TOLERANCE:
        yield (
            f"{_SIGNATURE} finds {found:.3f} of the best movies of the evaluation, "
            f"which has measured an index_recall of {wanted:.3f}"
        )


def _share(ranked: Ranked, answer: Listed) -> float:
    if not ranked.movies:
        return 1.0
    found = set(answer.movies[: len(ranked.movies)]) & set(ranked.movies)
    return len(found) / len(ranked.movies)


class _Comparison:
    """Asks both ways for the same users."""

    def __init__(self, client: Client, max_k: int, is_exact: bool) -> None:
        self._client, self._max_k, self._is_exact = client, max_k, is_exact
        movies = client.call("catalogue")["movie_id"].tolist()
        self.catalogue = [movie.decode("utf-8") for movie in movies]

    def evaluate(self, users: Sequence[User]) -> dict[str, NDArray[Any]]:
        rows = [_example(user) for user in users]
        return self._client.call("evaluate", examples=rows)

    def ranked(self, users: Sequence[User], shift: int = 0) -> list[Ranked]:
        found, size = self.evaluate(users), len(self.catalogue)
        rows = []
        for index, user in enumerate(users):
            top = [row for row in found["top_ids"][index].tolist() if row >= 0]
            movies = [self.catalogue[(row + shift) % size] for row in top]
            # If the evaluation ranks seen movies, an answer still has none.
            seen = {*user["movie_ids"], *user["seen_before"]}
            movies = [movie for movie in movies if movie not in seen or shift]
            ranks = zip(user["held_out"], found["rank"][index].tolist(), strict=False)
            is_pure = len(movies) == len(top)
            rows.append(
                Ranked(
                    movies[: self._max_k],
                    float(found["index_recall"][index][0]),
                    dict(ranks) if is_pure and not shift else {},
                )
            )
        return rows

    def answers(self, users: Sequence[User]) -> list[Listed]:
        rows = [
            {
                "user_id": user["user_id"],
                **history_of(user, len(user["movie_ids"]) or 1),
                **attributes_of(user),
                "exclude_movie_ids": user["seen_before"],
                "k": min(self._max_k, len(self.catalogue)),
            }
            for user in users
        ]
        answer = self._client.ask(_SIGNATURE, rows)
        return [Listed.of(answer, index) for index in range(len(rows))]

    def fault(self, ranked: Ranked, answer: Listed) -> str | None:
        """Returns what differs in one row, in words that follow "for user ..."."""
        wanted, size = ranked.movies, len(ranked.movies)
        if not self._is_exact:
            answer = answer.only(wanted)
            wanted = [movie for movie in wanted if movie in answer.movies]
            return answer.order_fault(wanted)
        answer = Listed(answer.movies[:size], answer.scores[:size])
        if fault := answer.order_fault(wanted):
            return fault
        for movie, rank in ranked.ranks.items():
            if rank > len(answer.movies):
                continue
            place = answer.movies.index(movie) if movie in answer.movies else None
            lowest = answer.scores[rank - 1]
            if place is None or abs(answer.scores[place] - lowest) > answer.rounding:
                where = "nowhere" if place is None else f"at place {place + 1}"
                return f'movie "{movie}" is {where}, but its rank is {rank}'
        return None

    def explanation(self, users: Sequence[User]) -> str:
        """Returns what differs: the order of the movies or of events, or features."""
        answers = self.answers(users)
        for shift, where in ((1, "after"), (-1, "before")):
            if self._share_equal(self.ranked(users, shift), answers) > _MOST:
                return f"; every movie is the one {where} it in the catalogue"
        ranked = self.ranked(users)
        texts: list[str] = []
        equal: list[str] = []
        for what, change in _CHANGES.items():
            changed = [change(user) for user in users]
            others = self.answers(changed)
            if self._share_equal(ranked, others) == 1:
                equal.append(f"it would be right for the same query but for {what}")
            by_evaluation = _differ(ranked, self.ranked(changed))
            by_answer = [a.movies for a in answers] != [a.movies for a in others]
            if by_evaluation != by_answer:
                names = "the evaluation", _SIGNATURE
                one, other = names if by_evaluation else names[::-1]
                texts.append(f"{one} depends on {what} and {other} does not")
        return "".join(f"; {text}" for text in [*equal, *texts][:_SHOWN_CAUSES])

    def _share_equal(
        self, ranked: Sequence[Ranked], answers: Sequence[Listed]
    ) -> float:
        faults = [self.fault(*pair) for pair in zip(ranked, answers, strict=True)]
        return faults.count(None) / len(faults)


def _differ(first: Sequence[Ranked], second: Sequence[Ranked]) -> bool:
    return [row.movies for row in first] != [row.movies for row in second]


def _example(user: User) -> bytes:
    """Returns the eval row of a user, with events and attributes as they are now."""
    example = tf.train.Example.FromString(base64.b64decode(user["example"]))
    feature = example.features.feature
    for name in ("user_id", *EVENTS, *ATTRIBUTES):
        value = user[name]
        values = value if isinstance(value, list) else [value]
        kind = feature[name].WhichOneof("kind") if name in feature else None
        if kind is None or value is None:
            continue
        if kind == "bytes_list":
            values = [text.encode() for text in values]
        del getattr(feature[name], kind).value[:]
        getattr(feature[name], kind).value.extend(values)
    return bytes(example.SerializeToString())


def _reversed(*names: str) -> Callable[[User], User]:
    return lambda user: {**user, **{name: user[name][::-1] for name in names}}


def _replaced(name: str, value: Any) -> Callable[[User], User]:
    return lambda user: {**user, name: None if user[name] is None else value}


def _stretched(user: User) -> User:
    times = user["timestamps"]
    return {**user, "timestamps": [t + 7 * (t - times[0]) for t in times]}


# What a signature may take otherwise than the evaluation -> the user with it changed.
_CHANGES: Final[dict[str, Callable[[User], User]]] = {
    "the order of the events": _reversed("movie_ids", "ratings"),
    "ratings": _reversed("ratings"),
    "times": _stretched,
    "user_id": _replaced("user_id", UNKNOWN_USER),
    "age": _replaced("age", 7),
    "gender": _replaced("gender", "no such gender"),
    "occupation": _replaced("occupation", "no such occupation"),
}
