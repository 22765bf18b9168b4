"""TensorFlow Serving's REST API: answers, and what is refused with which status."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from starlette.requests import Request

from pipeline.serving.server.app import create_app
from pipeline.serving.server.errors import RequestError
from pipeline.serving.server.predictor import Predictor
from pipeline.serving.server.rest import read_body
from tests.fixtures.asgi import Answer, call, send

MODEL = "/v1/models/two-tower"
DEEP = b"[" * 1000 + b"]" * 1000
ROW = {"user_id": "42", "k": 2}


def predict(app: Any, content: Any, path: str = MODEL, **headers: str) -> Answer:
    return call(app, "POST", f"{path}:predict", content, **headers)


def test_rows_are_answered_by_rows(app: Any) -> None:
    found = predict(app, {"instances": [ROW, {"user_id": "7", "k": 1}]})
    assert found.status == 200
    assert found.headers["x-model-version"] == "1"
    assert found.json == {
        "predictions": [
            {"movie_ids": ["0", "1"], "scores": [0.0, -1.0]},
            {"movie_ids": ["0", ""], "scores": [0.0, -3.4028235e38]},
        ]
    }


def test_columns_are_answered_by_columns(app: Any) -> None:
    found = predict(app, {"inputs": {"user_id": ["42"], "k": [2]}})
    assert found.json == {
        "outputs": {"movie_ids": [["0", "1"]], "scores": [[0.0, -1.0]]}
    }


def test_a_signature_of_one_input_and_output_needs_no_names(app: Any) -> None:
    ids = ["42", {"b64": base64.b64encode(b"unknown").decode()}]
    by_row = predict(app, {"signature_name": "known_user", "instances": ids})
    assert by_row.json == {"predictions": [True, False]}
    by_column = predict(app, {"signature_name": "known_user", "inputs": ids})
    assert by_column.json == {"outputs": [True, False]}


def test_all_types_pass_unchanged(app: Any) -> None:
    row = {"numbers": [0.1, 3], "yes": True, "long": -(2**63)}
    found = predict(app, {"signature_name": "types", "instances": [row]})
    text = base64.b64encode(str(-(2**63)).encode()).decode()
    assert found.json == {"predictions": [row | {"text_bytes": {"b64": text}}]}


def test_ids_in_any_script_reach_the_model(app: Any) -> None:
    found = predict(app, {"instances": [{"user_id": "Ünï-用户-\u0000", "k": 1}]})
    assert found.status == 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "JSON Parse error"),
        (b'{"instances": [{"user_id": "1", "k": NaN}]}', "JSON Parse error"),
        (b"[" * 100_000, "JSON Parse error"),
        (b"\xff", "JSON Parse error"),
        (b"", "JSON Parse error"),
        ([1], "must be a JSON object, but is [1]"),
        ({}, "either 'instances' or 'inputs'"),
        ({"instances": [ROW], "inputs": {}}, "either 'instances' or 'inputs'"),
        ({"instances": []}, "at least one row"),
        ({"instances": [ROW, {"user_id": "1"}]}, "element: 1 of 'instances'"),
        ({"instances": [ROW, 1]}, "element: 1 of 'instances'"),
        ({"instances": ["42"]}, "has 2 inputs: k, user_id"),
        ({"inputs": ["42"]}, "has 2 inputs: k, user_id"),
        ({"signature_name": 1, "instances": [ROW]}, "'signature_name' key"),
        ({"signature_name": "x", "instances": [ROW]}, 'signature name: "x" not found'),
        ({"instances": [{"user_id": "1"}]}, "Missing but required: {k}"),
        ({"instances": [ROW | {"x": 1}]}, "Sent extra: {x}"),
        ({"instances": [ROW | {"user_id": 42}]}, 'Input "user_id": JSON Value: 42'),
        ({"instances": [ROW | {"user_id": None}]}, 'Input "user_id": JSON Value: null'),
        ({"instances": [ROW | {"user_id": ["4"]}]}, '"user_id" has 2 dimensions'),
        ({"instances": [ROW | {"user_id": {"b64": "?"}}]}, "unable to base64 decode"),
        ({"instances": [ROW | {"k": 1.0}]}, 'Input "k": JSON Value: 1.0'),
        ({"instances": [ROW | {"k": True}]}, 'Input "k": JSON Value: true'),
        ({"instances": [ROW | {"k": 2**31}]}, "not of expected type: int32"),
        ({"instances": [ROW | {"k": 10**30}]}, "not of expected type: int32"),
        ({"instances": [ROW | {"k": 0}]}, "k must be from 1 to"),
        ({"instances": [ROW | {"k": 6}]}, "k must be from 1 to"),
        (b'{"signature_name": ' + DEEP + b', "instances": [1]}', "a list not"),
        ({"inputs": {"user_id": ["1", "2"], "k": [1]}}, "differ in rows"),
    ],
)
def test_bad_requests_are_refused_with_the_reason(
    app: Any, content: Any, message: str
) -> None:
    found = predict(app, content)
    assert found.status == 400
    assert message in found.error
    assert "\n" not in found.error
    assert len(found.error) <= 1000


def test_rows_of_different_lengths_are_refused_as_by_tensorflow_serving(
    app: Any,
) -> None:
    rows = [
        {"numbers": numbers, "yes": True, "long": 1} for numbers in ([1, 2], [1], [])
    ]
    found = predict(app, {"signature_name": "types", "instances": rows})
    assert found.status == 400
    assert 'Input "numbers": encountered a list of 1' in found.error


def test_a_number_beyond_the_type_is_refused(app: Any) -> None:
    row = {"numbers": [1e39], "yes": True, "long": 1}
    found = predict(app, {"signature_name": "types", "instances": [row]})
    assert found.status == 400
    assert "without loss of precision" in found.error


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/other", 404),
        (f"{MODEL}/versions/2", 404),
        (f"{MODEL}/versions/99999999999999999999", 400),
        (f"{MODEL}/versions/{'9' * 5000}", 400),
        (f"{MODEL}/versions/x", 400),
        (f"{MODEL}/labels/stable", 400),  # as TensorFlow Serving answers
    ],
)
def test_models_and_versions_that_are_not_there(
    app: Any, path: str, status: int
) -> None:
    found = predict(app, {"instances": [ROW]}, path)
    assert found.status == status
    assert found.error


def test_a_large_body_is_refused(app: Any) -> None:
    assert predict(app, b" " * (16 << 20) + b"x").status == 413
    announced = predict(app, b"", content_length=str(100 << 20))
    assert announced.status == 413
    assert announced.error == "The body is larger than 16 MiB"


def test_status_metadata_and_health(app: Any) -> None:
    status = call(app, "GET", MODEL).json
    assert status == {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    assert call(app, "GET", f"{MODEL}/versions/1").json == status
    assert call(app, "GET", f"{MODEL}/versions/3").status == 404
    assert call(app, "GET", "/v1/models/other").status == 404
    metadata = call(app, "GET", f"{MODEL}/metadata").json
    inputs = metadata["metadata"]["signature_def"]["signature_def"]["known_user"]
    assert inputs["inputs"]["user_id"]["dtype"] == "DT_STRING"
    assert call(app, "GET", "/healthz").status == 200
    assert call(app, "GET", "/readyz").status == 200
    assert call(app, "GET", "/nothing").error == "Not Found: GET /nothing"
    assert call(app, "PUT", MODEL).status == 405


def test_requests_are_counted_by_status(app: Any) -> None:
    def count(code: int, signature: str) -> float:
        text = call(app, "GET", "/monitoring/prometheus/metrics").body.decode()
        labels = f'code="{code}",protocol="rest",signature="{signature}"'
        lines = [line for line in text.splitlines() if f"{{{labels}}}" in line]
        return sum(
            float(line.split()[-1]) for line in lines if "requests_total" in line
        )

    good, bad = count(200, "serving_default"), count(400, "")
    predict(app, {"instances": [ROW]})
    predict(app, {"signature_name": "made up", "instances": [ROW]})
    assert count(200, "serving_default") == good + 1
    assert count(400, "") == bad + 1


def test_an_internal_error_shows_no_traceback(
    app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = app.state.predictor.versions.get()
    monkeypatch.setattr(type(version), "call", lambda *_: 1 / 0)
    found = predict(app, {"instances": [ROW]})
    assert found.status == 500
    assert found.error == "Internal error; the server's log has it."


def test_more_requests_than_may_wait_are_refused_and_the_others_answered(
    app: Any,
) -> None:
    versions = app.state.predictor.versions
    busy = create_app(versions, Predictor(versions, max_waiting=3))

    async def burst() -> list[Answer]:
        requests = (
            send(busy, "POST", f"{MODEL}:predict", {"instances": [ROW]})
            for _ in range(20)
        )
        return await asyncio.gather(*requests)

    found = asyncio.run(burst())
    refused = [answer for answer in found if answer.status == 503]
    assert refused
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    assert all(a.status == 200 for a in found if a not in refused)
    assert len(refused) < 20


def test_a_client_that_goes_while_it_sends_is_no_fault_of_the_server(app: Any) -> None:
    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "headers": []}, gone)
    with pytest.raises(RequestError, match="has gone") as error:
        asyncio.run(read_body(request))
    assert error.value.http_status == 499
