"""Requests that a served model must refuse, whoever sends them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any


@dataclasses.dataclass(frozen=True)
class RefusedRequest:
    """A request, and what its error must name.

    Attributes:
      signature: The signature that is called.
      what: Description of the fault.
      inputs: The inputs by name.
      named: Texts that the error must contain.
    """

    signature: str
    what: str
    inputs: dict[str, Any]
    named: tuple[str, ...]


def refused_requests(limits: dict[str, int]) -> Iterator[RefusedRequest]:
    """Yields requests beyond the limits and requests that make no sense.

    Args:
      limits: `max_batch`, `max_history` and `max_k` of the model.
    """
    most, rows = limits["max_k"], limits["max_batch"] + 1
    for k in (0, -1, most + 1):
        inputs = {"user_id": [""], "k": [k]}
        named = ("k must be", str(k), str(most))
        yield RefusedRequest("serving_default", f"k={k}", inputs, named)
    inputs = {"user_id": [""], "k": [1, 1]}
    yield RefusedRequest(
        "serving_default",
        "2 values of k for 1 row",
        inputs,
        ("k and user_id", "[2]", "[1]"),
    )
    # TensorFlow itself aborts the process where some lookups get another rank.
    inputs = {"user_id": [["1"]], "k": [1]}
    yield RefusedRequest(
        "serving_default", "user ids of rank 2", inputs, ("user_id", "[1,1]")
    )
    for signature, name, others in (
        ("serving_default", "user_id", {"k": [1] * rows}),
        ("query_embedding", "user_id", {}),
        ("candidate_embedding", "movie_id", {}),
        ("known_user", "user_id", {}),
        ("known_movie", "movie_id", {}),
    ):
        inputs = {name: [""] * rows, **others}
        named = (name, str(rows), str(rows - 1))
        yield RefusedRequest(signature, f"{rows} rows", inputs, named)
    yield from _refused_histories(limits["max_history"])


def _refused_histories(max_history: int) -> Iterator[RefusedRequest]:
    def request(what: str, named: tuple[str, ...], **changes: Any) -> RefusedRequest:
        inputs = {
            "user_id": [""],
            "movie_ids": [["1"]],
            "ratings": [[4.0]],
            "timestamps": [[0]],
            "k": [1],
        }
        return RefusedRequest(
            "recommend_from_history", what, {**inputs, **changes}, named
        )

    yield request(
        "more ratings than movies",
        ("movie_ids and ratings", "[1 1]", "[1 2]"),
        ratings=[[4.0, 4.0]],
    )
    yield request(
        "more timestamps than movies",
        ("movie_ids and timestamps", "[1 1]", "[2 1]"),
        timestamps=[[0], [0]],
    )
    yield request(
        "2 rows of users and 1 of movies",
        ("movie_ids and user_id", "[1]", "[2]"),
        user_id=["", ""],
        k=[1, 1],
    )
    for rating in (float("nan"), float("inf")):
        named = ("ratings", str(rating))
        yield request(f"a rating of {rating}", named, ratings=[[rating]])
    length = max_history + 1
    yield request(
        f"{length} events",
        ("movie_ids", str(length), str(max_history)),
        movie_ids=[["1"] * length],
        ratings=[[4.0] * length],
        timestamps=[[0] * length],
    )
