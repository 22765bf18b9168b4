"""Checks of embeddings, of what is known, and of movies that are like others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .answers import Expectation, Listed, answer_faults
from .calls import Client
from .requests import UNKNOWN_USER, Requests

# Relative and absolute: sums of float32 in another order.
_TOLERANCE: Final = 1e-3


def check_known(client: Client, requests: Requests) -> Iterator[str]:
    """Asks for users and movies of the data, and for some that nobody knows."""
    users = [user["user_id"] for user in requests.some_users()]
    for signature, name, known in (
        ("known_user", "user_id", {*users}),
        ("known_movie", "movie_id", requests.corpus),
    ):
        asked = [UNKNOWN_USER, "", *sorted(known)][: requests.limits["max_batch"]]
        answer = client.call(signature, **{name: asked})["known"].tolist()
        for one, is_known in zip(asked, answer, strict=True):
            if is_known != (one in known):
                yield f'{signature} says {is_known} of "{one}"'
                break


def check_catalogue(client: Client, requests: Requests) -> Iterator[str]:
    """Compares the movies of the model with those of the data."""
    movies = _text(client.call("catalogue")["movie_id"])
    if len(set(movies)) < len(movies):
        yield f"catalogue: {len(movies) - len(set(movies))} movies come twice"
    for what, others in (
        ("lacks", requests.corpus - set(movies)),
        ("has, and the corpus lacks,", set(movies) - requests.corpus),
    ):
        if others:
            yield f'catalogue {what} {len(others)} movies, such as "{min(others)}"'
    stored = {*_text(client.call("stored_users")["user_id"])}
    users = {user["user_id"] for user in requests.users}
    if missing := users - stored:
        yield f'stored_users lacks user "{min(missing)}" of the eval split'


def check_embeddings(client: Client, requests: Requests) -> Iterator[str]:
    """Compares scores with the dot products of the two embeddings."""
    users = [user["user_id"] for user in requests.some_users()]
    queries = client.call("query_embedding", user_id=users)["embedding"]
    k = max(1, min(requests.usual_k, requests.limits["max_batch"] // len(users)))
    for signature in ("serving_default", "recommend"):
        rows = [{"user_id": user, "k": k} for user in users]
        answer = client.ask(signature, rows)
        movies = answer["movie_ids"]
        candidates = _embedded(client, movies.ravel().tolist())
        products = np.einsum(
            "qd,qkd->qk", queries, candidates.reshape(*movies.shape, -1)
        )
        # Where no movie is left there is no score.
        found = movies != b""
        if not np.allclose(
            products[found], answer["scores"][found], _TOLERANCE, _TOLERANCE
        ):
            yield f"the dot product of the embeddings is not the score of {signature}"


def check_similar_movies(client: Client, requests: Requests) -> Iterator[str]:
    """Compares them with the cosines of embeddings without the bias."""
    movies = sorted(requests.corpus)[: len(requests.some_users())]
    k = max(1, min(requests.usual_k, requests.limits["max_batch"] // len(movies)))
    rows = [{"movie_id": movie, "k": k} for movie in movies]
    answer = client.ask("similar_movies", rows)
    expected = Expectation(
        where="similar_movies",
        k=[k] * len(movies),
        corpus=requests.corpus,
        seen=[[movie] for movie in movies],
    )
    yield from answer_faults(answer, expected)
    own = _directions(_embedded(client, movies))
    found = answer["movie_ids"] != b""
    others = _directions(_embedded(client, answer["movie_ids"].ravel().tolist()))
    cosines = np.einsum("md,mkd->mk", own, others.reshape(*found.shape, -1))
    if not np.allclose(cosines[found], answer["scores"][found], atol=_TOLERANCE):
        yield "similar_movies: a score is not the cosine of the embeddings"
    nobody = client.ask("similar_movies", [{"movie_id": UNKNOWN_USER, "k": k}])
    if strays := Listed.of(nobody, 0).movies:
        yield f'similar_movies: movie "{strays[0]}" is like one that nobody knows'


def _embedded(client: Client, movies: Sequence[Any]) -> NDArray[Any]:
    return client.call("candidate_embedding", movie_id=movies)["embedding"]


def _directions(embeddings: NDArray[Any]) -> NDArray[Any]:
    without_bias = embeddings[:, :-1]
    norms = np.linalg.norm(without_bias, axis=1, keepdims=True)
    return without_bias / np.maximum(norms, np.finfo(np.float32).tiny)


def _text(values: NDArray[Any]) -> list[str]:
    return [value.decode("utf-8") for value in values.tolist()]
