"""Requests that wait are answered together, and each as if it were alone."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import numpy as np
import pytest

from pipeline.serving.server.batching import Batcher
from pipeline.serving.server.errors import RequestError


def inputs(users: list[str], k: list[int]) -> dict[str, Any]:
    return {"user_id": np.array(users, object), "k": np.array(k, np.int32)}


def gather(app: Any, requests: list[tuple[str, dict[str, Any]]]) -> tuple[Any, int]:
    """Answers of requests that come at once, and the number of calls of TensorFlow."""
    version = app.state.predictor.versions.get()
    batcher = Batcher(workers=1, max_waiting=100)

    async def run() -> list[Any]:
        calls = (batcher.call(version, name, arrays) for name, arrays in requests)
        return await asyncio.gather(*calls, return_exceptions=True)

    found = asyncio.run(run())
    batcher.close()
    return found, batcher.batches


def test_a_batch_is_split_into_answers_as_wide_as_asked_for(app: Any) -> None:
    requests = [
        ("serving_default", inputs(["a"], [1])),
        ("serving_default", inputs(["b", "c"], [2, 3])),
        ("serving_default", inputs(["d"], [5])),
    ]
    found, batches = gather(app, requests)
    assert [answer["movie_ids"].shape for answer in found] == [(1, 1), (2, 3), (1, 5)]
    assert found[1]["movie_ids"].tolist() == [[b"0", b"1", b""], [b"0", b"1", b"2"]]
    assert batches == 2  # the first, and all that came while it ran


def test_a_bad_request_fails_alone(app: Any) -> None:
    requests = [("serving_default", inputs(["a"], [k])) for k in (1, 1, 0, 2)]
    found, _ = gather(app, requests)
    assert isinstance(found[2], RequestError)
    widths = [answer["scores"].shape[1] for answer in found if answer is not found[2]]
    assert widths == [1, 1, 2]


def test_other_signatures_and_shapes_are_not_joined(app: Any) -> None:
    def types(width: int) -> dict[str, Any]:
        return {
            "numbers": np.ones((1, width), np.float32),
            "yes": np.array([True]),
            "long": np.array([1]),
        }

    requests = [
        ("known_user", {"user_id": np.array(["a"], object)}),
        ("types", types(2)),
        ("types", types(3)),
        ("serving_default", inputs(["a"], [2])),
        ("types", types(2)),
    ]
    found, batches = gather(app, requests)
    assert [answer["numbers"].shape for answer in (found[1], found[2], found[4])] == [
        (1, 2),
        (1, 3),
        (1, 2),
    ]
    assert batches == 4


def test_a_request_without_rows_does_not_fail_the_others(app: Any) -> None:
    requests = [
        ("serving_default", inputs(users, [2] * len(users)))
        for users in (["a"], ["b"], [], ["c"])
    ]
    found, _ = gather(app, requests)
    widths = [answer["scores"].shape for answer in found if answer is not found[2]]
    assert widths == [(1, 2)] * 3


def test_a_batch_has_no_more_rows_than_the_model_takes(
    app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = app.state.predictor.versions.get()
    info = dataclasses.replace(version.info, max_batch=2)
    monkeypatch.setattr(version, "info", info)
    found, batches = gather(app, [("serving_default", inputs(["a"], [1]))] * 5)
    assert [answer["scores"].shape for answer in found] == [(1, 1)] * 5
    assert batches == 3  # 1, 2, 2
