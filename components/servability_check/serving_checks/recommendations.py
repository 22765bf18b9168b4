"""Checks of the signatures that recommend to users."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from .answers import Expectation, Listed, answer_faults
from .calls import Answer, Client, Row, attributes_of, history_of
from .requests import UNKNOWN_USER, Requests

# Signatures whose answers are movies.
RECOMMENDING: Final = (
    "serving_default",
    "recommend",
    "recommend_from_history",
    "recommend_examples",
    "similar_movies",
)
_WITH_FILTERS: Final = ("recommend", "recommend_from_history")
_OF_STORED_USERS: Final = ("serving_default", "recommend")
_DIVERSITY: Final = 0.3  # of requests that ask for some


def check_known_users(client: Client, requests: Requests) -> Iterator[str]:
    """Asks for users of the eval split, alone and in a batch of different k."""
    users, most, usual = requests.users, requests.limits["max_k"], requests.usual_k
    size = len(requests.some_users())
    batch = list(itertools.islice(itertools.cycle(users), size))
    several = [1 + row % usual for row in range(size)]
    for signature in _OF_STORED_USERS:
        for some, k in ((users[:1], [1]), (users[:1], [most]), (batch, several)):
            rows = [
                {"user_id": u["user_id"], "k": n} for u, n in zip(some, k, strict=True)
            ]
            expected = Expectation(
                where=f"{signature} with {len(some)} users and k={max(k)}",
                k=k,
                corpus=requests.corpus,
                seen=[user["seen"] for user in some],
                # A served model may also leave out the held-out movies.
                unsure=[user["held_out"] for user in some],
            )
            yield from answer_faults(client.ask(signature, rows), expected)


def check_unknown_users(client: Client, requests: Requests) -> Iterator[str]:
    """Asks for an unknown user and an empty id, which must get the same answer."""
    k = requests.usual_k
    for signature in (*_OF_STORED_USERS, "recommend_from_history"):
        where = f"{signature} with unknown users"
        unknown, empty = (
            client.ask(signature, [{"user_id": user, "k": k}])
            for user in (UNKNOWN_USER, "")
        )
        expected = Expectation(where, [k], requests.corpus, [[]])
        for answer in (unknown, empty):
            yield from answer_faults(answer, expected)
        if not np.array_equal(unknown["scores"], empty["scores"], equal_nan=True):
            yield f'{where}: an empty user id gets other scores than "{UNKNOWN_USER}"'


def check_histories(client: Client, requests: Requests) -> Iterator[str]:
    """Sends timelines with the request, among them an empty one."""
    longest = requests.limits["max_history"]
    users: list[dict[str, Any]] = [{}, *requests.users]
    users = users[: len(requests.some_users())]
    rows = [
        {**history_of(user, longest), **attributes_of(user)} if user else {}
        for user in users
    ]
    k = [requests.usual_k] * len(rows)
    timelines = [row.get("movie_ids", []) for row in rows]
    for signature, stored in (
        ("recommend_from_history", [[] for _ in users]),
        ("recommend", [user.get("seen", []) for user in users]),
    ):
        names = client.types[signature]["inputs"]
        asked = [
            {name: value for name, value in row.items() if name in names}
            | {"user_id": user.get("user_id", ""), "k": requests.usual_k}
            for user, row in zip(users, rows, strict=True)
        ]
        expected = Expectation(
            where=f"{signature} with timelines",
            k=k,
            corpus=requests.corpus,
            seen=[[*a, *b] for a, b in zip(timelines, stored, strict=True)],
            unsure=[user.get("held_out", []) for user in users],
        )
        yield from answer_faults(client.ask(signature, asked), expected)


def check_filters(client: Client, requests: Requests) -> Iterator[str]:
    """Asks for some genres and years, and excludes what would be recommended."""
    user = requests.users[0]
    for signature in _WITH_FILTERS:
        plain = {"user_id": user["user_id"], "k": requests.usual_k}
        if signature == "recommend_from_history":
            plain |= history_of(user, requests.limits["max_history"])
        best = Listed.of(client.ask(signature, [plain]), 0).movies
        best = best[: requests.limits["max_filters"]]
        filters = [*requests.filters, {}, {"exclude_movie_ids": best}]
        filters.append(requests.filters[-1] | {"exclude_movie_ids": best[:1]})
        rows: list[dict[str, Any]] = [plain | each for each in filters]
        if signature == "recommend":
            # An excluded movie must not come back with those that were seen.
            rows += [row | {"include_seen": True} for row in rows]
        rows = rows[: requests.limits["max_batch"]]
        expected = _filtered(requests, signature, user, rows)
        yield from answer_faults(client.ask(signature, rows), expected)
        diverse = dataclasses.replace(
            expected, where=f"{expected.where} and diversity", is_sorted=False
        )
        rows = [row | {"diversity": _DIVERSITY} for row in rows]
        yield from answer_faults(client.ask(signature, rows), diverse)


def _filtered(
    requests: Requests, signature: str, user: dict[str, Any], rows: Sequence[Row]
) -> Expectation:
    stored = signature == "recommend"
    own = user["seen"] if stored else user["movie_ids"]
    held_out = user["held_out"] if stored else []
    again = [row.get("include_seen", False) for row in rows]
    return Expectation(
        where=f"{signature} with filters",
        k=[row["k"] for row in rows],
        corpus=requests.corpus,
        seen=[
            [*row.get("exclude_movie_ids", ()), *(() if includes else own)]
            for row, includes in zip(rows, again, strict=True)
        ],
        unsure=[[] if includes else held_out for includes in again],
        allowed=[requests.allowed(row) for row in rows],
    )


def check_seen_movies(client: Client, requests: Requests) -> Iterator[str]:
    """Compares answers with seen movies with those without, and with their scores."""
    users = requests.some_users(8)
    rows = [{"user_id": user["user_id"], "k": requests.usual_k} for user in users]
    without = client.ask("recommend", rows)
    again = client.ask("recommend", [row | {"include_seen": True} for row in rows])
    queries = client.ask("query_embedding", rows)["embedding"]
    for index, user in enumerate(users):
        of_row, other = Listed.of(again, index), Listed.of(without, index)
        seen = {*user["seen"], *user["held_out"]}
        new = [movie for movie in of_row.movies if movie not in seen]
        if fault := of_row.only(new).fault(other.only(new), requests.is_exact):
            yield (
                "recommend with include_seen ranks what was not seen otherwise than "
                f'without, for user "{user["user_id"]}": {fault}'
            )
            return
        if not (requests.is_exact and of_row.movies):
            continue
        known = sorted(seen & requests.corpus)[: requests.limits["max_batch"]]
        if not known:
            continue
        embeddings = client.call("candidate_embedding", movie_id=known)["embedding"]
        scores = embeddings @ queries[index]
        least = of_row.scores[-1] + of_row.rounding
        better = {m for m, score in zip(known, scores, strict=True) if score > least}
        if missing := better - {*of_row.movies}:
            yield (
                f'recommend with include_seen leaves out movie "{min(missing)}", which '
                f'user "{user["user_id"]}" has seen and which scores best'
            )
            return


def check_batches(client: Client, requests: Requests) -> Iterator[str]:
    """Compares each row of a batch with the same row alone.

    The rows ask for different numbers of movies, and their lists differ in length: they
    are padded by the caller, and as TensorFlow Serving joins the requests of several
    callers.
    """
    for signature in RECOMMENDING:
        rows = requests.rows(signature)
        alone = [client.ask(signature, [row]) for row in rows]
        for by_server in (False, True):
            answer = client.ask(signature, rows, by_server)
            fault = _batch_fault(answer, alone, rows, requests.is_exact)
            if fault and by_server:
                fault += " where the server pads its lists with their first value"
            if fault:
                yield f"{signature}: {fault}"
                break


def _batch_fault(
    answer: Answer, alone: Sequence[Answer], rows: Sequence[Row], is_exact: bool
) -> str | None:
    width = max(row["k"] for row in rows)
    if answer["scores"].shape != (len(rows), width):
        return f"{len(rows)} rows get an answer of shape {answer['scores'].shape}"
    for index, one in enumerate(alone):
        if fault := Listed.of(answer, index).fault(Listed.of(one, 0), is_exact):
            return (
                f"row {index + 1} of a batch is answered otherwise than alone: {fault}"
            )
    return None


def check_agreement(client: Client, requests: Requests) -> Iterator[str]:
    """Asks several signatures for the same, in their own ways."""
    users = requests.some_users(8)
    rows = [{"user_id": user["user_id"], "k": requests.usual_k} for user in users]
    expected = client.ask("serving_default", rows)
    ids = [row["user_id"] for row in rows]
    stored = client.call("stored_timelines", user_id=ids)
    resent = [
        row | {name: values[index].tolist() for name, values in stored.items()}
        for index, row in enumerate(rows)
    ]
    limit = requests.limits["max_history"]
    asked: list[tuple[str, str, Sequence[Row]]] = [
        ("recommend", "without events", rows),
        ("recommend_examples", "without events", rows),
    ]
    if stored["movie_ids"].shape[1] <= limit:
        asked.append(("recommend", "with the stored events", resent))
        excluded = [[*user["seen"], *user["held_out"]] for user in users]
        if max(map(len, excluded)) <= requests.limits["max_filters"]:
            whole = [
                row | {"exclude_movie_ids": some}
                for row, some in zip(resent, excluded, strict=True)
            ]
            what = "with the stored events"
            asked.append(("recommend_from_history", what, whole))
    for signature, what, given in asked:
        answer = client.ask(signature, given)
        for index, row in enumerate(rows):
            wanted = Listed.of(expected, index)
            if fault := Listed.of(answer, index).fault(wanted, requests.is_exact):
                yield (
                    f"{signature} {what} answers otherwise than serving_default for "
                    f'user "{row["user_id"]}": {fault}'
                )
                break
