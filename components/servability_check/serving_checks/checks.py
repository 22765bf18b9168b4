"""What a servable model must do."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import tensorflow as tf

from .c_api import CApiClient
from .calls import Client, one_line
from .embeddings import (
    check_catalogue,
    check_embeddings,
    check_known,
    check_similar_movies,
)
from .evaluation import check_evaluation
from .recommendations import (
    RECOMMENDING,
    check_agreement,
    check_batches,
    check_filters,
    check_histories,
    check_known_users,
    check_seen_movies,
    check_unknown_users,
)
from .refusals import check_refusals
from .requests import Requests
from .signatures import check_signatures

_TIMED_CALLS: Final = 30
_TIMED_SECONDS: Final = 1.0
_CHECKS: Final[tuple[Callable[[Client, Requests], Iterator[str]], ...]] = (
    check_known_users,
    check_unknown_users,
    check_histories,
    check_filters,
    check_refusals,
    check_embeddings,
    check_known,
    check_catalogue,
    check_evaluation,
    # Compared with the answers that were checked so far.
    check_agreement,
    check_batches,
    check_seen_movies,
    check_similar_movies,
)


def check_model(path: str, content: dict[str, Any]) -> dict[str, Any]:
    """Loads a model and checks its answers to real requests.

    Args:
      path: Folder of the SavedModel.
      content: See `Requests`.

    Returns:
      `reasons`: why the model is not servable, empty if it is. `load_seconds`,
      `median_latency_ms` of each signature that recommends, if the checks before it
      passed, and `c_api`: "checked", or why it was not.
    """
    requests = Requests(content)
    start = time.perf_counter()
    try:
        c_api = CApiClient(path, requests)  # it loads the model at the same time
        model = tf.saved_model.load(path)
    except Exception as error:
        return {"reasons": [f"the model cannot be loaded: {one_line(error)}"]}
    result: dict[str, Any] = {"load_seconds": round(time.perf_counter() - start, 3)}
    # Calling a signature that is wrong would only add errors that follow from it.
    if found := list(check_signatures(model, requests)):
        return result | {"reasons": found}
    client = Client(model, requests.types)

    def check_c_api(client: Client, _: Requests) -> Iterator[str]:
        return c_api.faults(client)

    found = answer_reasons(client, requests)
    found += reasons(check_c_api, client, requests)
    result["c_api"] = f"not checked: {c_api.note}" if c_api.note else "checked"
    if not found:
        result["median_latency_ms"] = latencies = {
            name: round(median_latency_ms(client, requests, name), 3)
            for name in RECOMMENDING
        }
        limit = requests.max_latency_ms
        found += [
            f"a request to {name} takes {latency:.1f} ms (median), more than "
            f"serving.max_latency_ms={limit:g}"
            for name, latency in latencies.items()
            if limit is not None and latency > limit
        ]
    return result | {"reasons": found}


def answer_reasons(client: Client, requests: Requests) -> list[str]:
    """Returns what is wrong with the answers of a model that has all signatures."""
    return [reason for check in _CHECKS for reason in reasons(check, client, requests)]


def median_latency_ms(client: Client, requests: Requests, signature: str) -> float:
    """Returns the median time of a call for one row."""
    row = requests.rows(signature)[0] | {"k": requests.usual_k}
    inputs = client.batch(signature, [row])
    times: list[float] = []
    while len(times) < _TIMED_CALLS and sum(times) < _TIMED_SECONDS:
        start = time.perf_counter()
        client.call(signature, **inputs)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def reasons(
    check: Callable[[Client, Requests], Iterator[str]],
    client: Client,
    requests: Requests,
) -> list[str]:
    """Returns what one check finds; an error that the model raises counts, too."""
    found: list[str] = []
    try:
        found.extend(check(client, requests))
    except Exception as error:
        what = check.__name__.removeprefix("check_").replace("_", " ")
        found.append(f"a request ({what}) failed: {one_line(error)}")
    return found
