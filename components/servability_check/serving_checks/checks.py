"""The requests that a servable model must answer."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import tensorflow as tf

from .answers import Answer, Expectation, answer_faults
from .refusals import refused_requests

# Content of the requests file, JSON:
#   signatures: the documented ones, each a `trainer.serving_contract.Signature`;
#   users: rows of the eval split: `user_id`, `movie_ids`, `ratings`, `timestamps`,
#     `seen`, `held_out`;
#   corpus: all movie ids;
#   limits: `max_batch`, `max_history` and `max_k` of a request;
#   max_latency_ms: None for no limit.
Requests = dict[str, Any]

_USUAL_K: Final = 10
_BATCH: Final = 32
_UNKNOWN_USER: Final = "no such user \u2400"
_TIMED_CALLS: Final = 30
_TIMED_SECONDS: Final = 2.0
# Relative and absolute: sums of float32 in another order.
_SCORE_TOLERANCE: Final = 1e-3


def check_model(path: str, requests: Requests) -> dict[str, Any]:
    """Loads a model and checks its answers to real requests.

    Args:
      path: Folder of the SavedModel.
      requests: See `Requests`.

    Returns:
      `reasons`: why the model is not servable, empty if it is. `load_seconds` and
      `median_latency_ms`, if the checks before them passed.
    """
    start = time.perf_counter()
    try:
        model = tf.saved_model.load(path)
    except Exception as error:
        return {"reasons": [f"the model cannot be loaded: {_one_line(error)}"]}
    result: dict[str, Any] = {"load_seconds": round(time.perf_counter() - start, 3)}
    reasons = list(check_signatures(model, requests))
    # Calling a signature that is wrong would only add errors that follow from it.
    if not reasons:
        for check in _CHECKS:
            reasons += _reasons(check, model, requests)
    if not reasons:
        latency, limit = median_latency_ms(model, requests), requests["max_latency_ms"]
        result["median_latency_ms"] = round(latency, 3)
        if limit is not None and latency > limit:
            reasons.append(
                f"a request takes {latency:.1f} ms (median), "
                f"more than serving.max_latency_ms={limit:g}"
            )
    return result | {"reasons": reasons}


def check_signatures(model: Any, requests: Requests) -> Iterator[str]:
    """Compares all signatures with the documented names, dtypes and ranks."""
    documented = {signature["name"] for signature in requests["signatures"]}
    for name in sorted({*model.signatures} - documented):
        yield f"signature {name} is none that callers of a server may use"
    for expected in requests["signatures"]:
        name = expected["name"]
        if name not in model.signatures:
            yield f"signature {name} is missing"
            continue
        signature = model.signatures[name]
        inputs = signature.structured_input_signature[1]
        yield from _differences(f"input of {name}", expected["inputs"], inputs)
        outputs = signature.structured_outputs
        yield from _differences(f"output of {name}", expected["outputs"], outputs)


def _differences(
    where: str, expected: dict[str, dict[str, Any]], actual: dict[str, Any]
) -> Iterator[str]:
    for name, tensor in expected.items():
        dtype, rank = tensor["dtype"], len(tensor["dims"])
        spec = actual.get(name)
        if spec is None:
            yield f"{where}: {name} is missing"
        elif spec.dtype.name != dtype or spec.shape.rank not in (rank, None):
            found = f"{spec.dtype.name} of rank {spec.shape.rank}"
            yield f"{where}: {name} is {found}, not {dtype} of rank {rank}"
        elif rank and spec.shape.rank and spec.shape[0] is not None:
            yield f"{where}: {name} takes batches of {spec.shape[0]} only"


def check_known_users(model: Any, requests: Requests) -> Iterator[str]:
    """Asks for users of the eval split, alone and in a batch of different k."""
    users, most = requests["users"], requests["limits"]["max_k"]
    size = min(_BATCH, requests["limits"]["max_batch"])
    batch = list(itertools.islice(itertools.cycle(users), size))
    usual = min(_USUAL_K, most)
    several = [1 + row % usual for row in range(size)]
    for some, k in ((users[:1], [1]), (users[:1], [most]), (batch, several)):
        expected = Expectation(
            where=f"serving_default with {len(some)} users and k={max(k)}",
            k=k,
            corpus=frozenset(requests["corpus"]),
            seen=[user["seen"] for user in some],
            # A served model may also leave out the held-out movies.
            withheld=[len({*user["seen"], *user["held_out"]}) for user in some],
        )
        answer = _recommend(model, [user["user_id"] for user in some], k)
        yield from answer_faults(answer, expected)


def check_unknown_users(model: Any, requests: Requests) -> Iterator[str]:
    """Asks for an unknown user and an empty id, which must get the same answer."""
    k = min(_USUAL_K, requests["limits"]["max_k"])
    unknown, empty = (_recommend(model, [user], [k]) for user in (_UNKNOWN_USER, ""))
    corpus = frozenset(requests["corpus"])
    where = "serving_default with unknown users"
    for answer in (unknown, empty):
        yield from answer_faults(answer, Expectation(where, [k], corpus, [[]], [0]))
    if not np.array_equal(unknown["scores"], empty["scores"], equal_nan=True):
        yield f'{where}: an empty user id gets other scores than "{_UNKNOWN_USER}"'


def check_histories(model: Any, requests: Requests) -> Iterator[str]:
    """Sends timelines with the request, among them an empty one."""
    size = min(_BATCH, requests["limits"]["max_batch"])
    users = [{}, *requests["users"]][:size]
    k = [min(_USUAL_K, requests["limits"]["max_k"])] * len(users)
    timelines = [user.get("movie_ids", []) for user in users]
    length = max(1, *map(len, timelines))

    def padded(name: str, padding: Any) -> list[Any]:
        rows = (user.get(name, []) for user in users)
        return [row + [padding] * (length - len(row)) for row in rows]

    answer = _call(
        model,
        "recommend_from_history",
        user_id=[""] * len(users),
        movie_ids=padded("movie_ids", ""),
        ratings=padded("ratings", 0.0),
        timestamps=padded("timestamps", 0),
        k=k,
    )
    expected = Expectation(
        where="recommend_from_history",
        k=k,
        corpus=frozenset(requests["corpus"]),
        seen=timelines,
        withheld=[len(set(timeline)) for timeline in timelines],
    )
    yield from answer_faults(answer, expected)


def check_embeddings(model: Any, requests: Requests) -> Iterator[str]:
    """Compares scores with the dot products of the two embeddings."""
    size = min(_BATCH, requests["limits"]["max_batch"])
    users = [user["user_id"] for user in requests["users"][:size]]
    best = _recommend(model, users, [1] * len(users))
    queries = _call(model, "query_embedding", user_id=users)["embedding"]
    movies, scores = best["movie_ids"][:, 0], best["scores"][:, 0]
    candidates = _call(model, "candidate_embedding", movie_id=movies)["embedding"]
    products = np.sum(queries * candidates, axis=1)
    # No movie is left for a user who has seen all of them.
    found = movies != b""
    if not np.allclose(
        products[found], scores[found], _SCORE_TOLERANCE, _SCORE_TOLERANCE
    ):
        yield "the dot product of the embeddings is not the score of serving_default"


def check_refusals(model: Any, requests: Requests) -> Iterator[str]:
    """Sends requests that must be refused by an error that names value and limit."""
    for request in refused_requests(requests["limits"]):
        try:
            _call(model, request.signature, **request.inputs)
        except tf.errors.InvalidArgumentError as error:
            if missing := [text for text in request.named if text not in str(error)]:
                yield (
                    f"the error of {request.signature} with {request.what} does not "
                    f"name {', '.join(missing)}"
                )
        else:
            yield f"{request.signature} accepts {request.what}"


def median_latency_ms(model: Any, requests: Requests) -> float:
    """Returns the median time of a `serving_default` call for one user."""
    user = [requests["users"][0]["user_id"]]
    k = [min(_USUAL_K, requests["limits"]["max_k"])]
    times: list[float] = []
    while len(times) < _TIMED_CALLS and sum(times) < _TIMED_SECONDS:
        start = time.perf_counter()
        _recommend(model, user, k)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


_CHECKS: Final[tuple[Callable[[Any, Requests], Iterator[str]], ...]] = (
    check_known_users,
    check_unknown_users,
    check_histories,
    check_refusals,
    check_embeddings,
)


def _reasons(
    check: Callable[[Any, Requests], Iterator[str]], model: Any, requests: Requests
) -> list[str]:
    """Runs one check; an error that the model raises is a reason, too."""
    try:
        return list(check(model, requests))
    except Exception as error:
        what = check.__name__.removeprefix("check_").replace("_", " ")
        return [f"a request ({what}) failed: {_one_line(error)}"]


def _recommend(model: Any, user_ids: list[str], k: list[int]) -> Answer:
    return _call(model, "serving_default", user_id=user_ids, k=k)


def _call(model: Any, signature_name: str, **inputs: Any) -> Answer:
    """Calls a signature, whose types were checked before, on plain values."""
    signature = model.signatures[signature_name]
    _, specs = signature.structured_input_signature
    rows = len(next(iter(inputs.values())))
    tensors = {name: tf.constant(inputs[name], specs[name].dtype) for name in inputs}
    tensors |= {
        # No event, no filter, and an unknown age.
        name: tf.fill(
            [rows, *[0] * (spec.shape.rank - 1)],
            tf.constant("" if spec.dtype == tf.string else -(name == "age"), spec.dtype)
            if spec.dtype != tf.bool
            else tf.constant(False),
        )
        for name, spec in specs.items()
        if name not in inputs
    }
    return {name: tensor.numpy() for name, tensor in signature(**tensors).items()}


def _one_line(error: Exception) -> str:
    """Returns type and cause; TensorFlow wraps the cause in a trace of the graph."""
    noise = (" ", "\t", "Graph execution error", "Detected at node", "<stack")
    lines = [line for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if not line.startswith(noise)] or lines or [""]
    return f"{type(error).__name__}: {causes[-1][:300]}"
