"""Requests that a served model must refuse, whoever sends them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

import tensorflow as tf

from .calls import Client, Row
from .requests import Requests

# Dimension of a list -> the limit of its length.
_LIMITS: Final = {"L": "max_history", "X": "max_filters", "G": "max_filters"}
_EVENT: Final[dict[str, Any]] = {
    "movie_ids": ["1"],
    "ratings": [4.0],
    "timestamps": [0],
}


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


def check_refusals(client: Client, requests: Requests) -> Iterator[str]:
    """Sends requests that must be refused by an error that names value and limit."""
    for request in refused_requests(client, requests):
        try:
            client.call(request.signature, **request.inputs)
        except tf.errors.InvalidArgumentError as error:
            if missing := [text for text in request.named if text not in str(error)]:
                yield (
                    f"the error of {request.signature} with {request.what} does not "
                    f"name {', '.join(missing)}"
                )
        else:
            yield f"{request.signature} accepts {request.what}"


def refused_requests(client: Client, requests: Requests) -> Iterator[RefusedRequest]:
    """Yields requests beyond the limits and requests that make no sense."""
    for signature in requests.signatures:
        inputs = client.types[signature]["inputs"]
        yield from _of_any_signature(client, signature, inputs, requests.limits)
        row = {"user_id": ""} | ({"k": 1} if "k" in inputs else {})
        if "k" in inputs:
            yield from _numbers_of_movies(client, signature, row, requests.limits)
        if "movie_ids" in inputs:
            yield from _events(client, signature, row)
            yield from _filters(client, signature, row)
    if "recommend_examples" in requests.signatures:
        yield from _examples(client, requests.limits)


def _of_any_signature(
    client: Client,
    signature: str,
    inputs: Mapping[str, Mapping[str, Any]],
    limits: Mapping[str, int],
) -> Iterator[RefusedRequest]:
    """Requests with too many rows or values, of other ranks, or with a row missing."""
    first = next(iter(inputs))
    key = "user_id" if signature == "recommend_examples" else first
    sound = client.batch(signature, [{key: "", "k": 1}])
    rows = limits["max_batch"] + 1
    yield RefusedRequest(
        signature,
        f"{rows} rows",
        {name: value * rows for name, value in sound.items()},
        (first, str(rows), str(rows - 1)),
    )
    for name, tensor in inputs.items():
        others = {key: value for key, value in sound.items() if key != name}
        yield RefusedRequest(
            signature,
            f"{name} of rank {len(tensor['dims']) + 1}",
            {**others, name: [sound[name]]},
            (name,),
        )
        if name != first:
            yield RefusedRequest(
                signature,
                f"2 rows of {name} and 1 of {first}",
                {**others, name: sound[name] * 2},
                (name, "[2", "[1"),
            )
        if limit := limits.get(_LIMITS.get(tensor["dims"][-1], "")):
            # All lists of the dimension, which must have the same length.
            long = {
                key: [[other["absent"]] * (limit + 1)]
                for key, other in inputs.items()
                if other["dims"] == tensor["dims"]
            }
            yield RefusedRequest(
                signature,
                f"{limit + 1} values of {name}",
                {**others, **long},
                (next(iter(long)), str(limit + 1), str(limit)),
            )


def _numbers_of_movies(
    client: Client, signature: str, row: Row, limits: Mapping[str, int]
) -> Iterator[RefusedRequest]:
    most = limits["max_k"]
    first = next(iter(client.types[signature]["inputs"]))
    for k in (0, -1, most + 1):
        inputs = client.batch(signature, [{**row, first: "", "k": k}])
        named = ("k must be", str(k), str(most))
        yield RefusedRequest(signature, f"k={k}", inputs, named)


def _events(client: Client, signature: str, row: Row) -> Iterator[RefusedRequest]:
    sound = client.batch(signature, [{**row, **_EVENT}])
    for name in ("ratings", "timestamps"):
        yield RefusedRequest(
            signature,
            f"more {name} than movies",
            {**sound, name: [sound[name][0] * 2]},
            (f"movie_ids and {name}", "[1 1]", "[1 2]"),
        )
    for rating in (float("nan"), float("inf")):
        yield RefusedRequest(
            signature,
            f"a rating of {rating}",
            {**sound, "ratings": [[rating]]},
            ("ratings", str(rating)),
        )


def _filters(client: Client, signature: str, row: Row) -> Iterator[RefusedRequest]:
    for what, filters, named in (
        ("the genre Nonsense", {"genres": ["", "Nonsense"]}, ("genres", "Nonsense")),
        (
            "a first year after the last",
            {"first_year": 1999, "last_year": 1998},
            ("first_year", "1999", "1998"),
        ),
        ("the first year -5", {"first_year": -5}, ("first_year", "-5")),
        ("the last year -5", {"last_year": -5}, ("last_year", "-5")),
        ("a diversity of 1", {"diversity": 1.0}, ("diversity", "1")),
    ):
        inputs = client.batch(signature, [{**row, **filters}])
        yield RefusedRequest(signature, what, inputs, named)


def _examples(client: Client, limits: Mapping[str, int]) -> Iterator[RefusedRequest]:
    most, sound = limits["max_k"], {"user_id": "", "k": 1}
    for what, row, named in (
        ("no user", {"k": 1}, ("user_id",)),
        (f"k={most + 1}", {**sound, "k": most + 1}, ("k must be", str(most))),
        (
            "more ratings than movies",
            {**sound, **_EVENT, "ratings": [1.0, 2.0]},
            ("movie_ids and ratings",),
        ),
        (
            "a rating of nan",
            {**sound, **_EVENT, "ratings": [float("nan")]},
            ("ratings", "nan"),
        ),
        ("the genre Nonsense", {**sound, "genres": ["Nonsense"]}, ("Nonsense",)),
    ):
        inputs = {"examples": [client.example(row)]}
        yield RefusedRequest(
            "recommend_examples", f"an example with {what}", inputs, named
        )
    yield RefusedRequest(
        "recommend_examples", "text that is no example", {"examples": [b"text"]}, ()
    )
