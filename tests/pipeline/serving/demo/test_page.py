"""The page as a document, and who gets it, without a model."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette

from pipeline.serving.demo import routes
from pipeline.serving.demo.page import render
from pipeline.serving.server.app import create_app
from pipeline.serving.server.models import ModelVersions
from pipeline.serving.server.wanted import Wanted
from tests.fixtures.running_app import RunningApp, running


@pytest.fixture(scope="module")
def server() -> Iterator[RunningApp]:
    """A server that has loaded no version."""
    versions = ModelVersions("two-tower", lambda: Wanted({}, {}, [], None))
    with running(create_app(versions, demo=True)) as app:
        yield app


def test_the_page_is_one_document_that_names_no_other_address() -> None:
    page, _ = render()
    assert not re.findall(r"https?://|//\w+\.\w+|@import|url\(", page)
    assert re.findall(r'(?:src|href)="([^"]*)"', page) == ["data:,"]


def test_the_policy_permits_the_own_style_and_script_alone() -> None:
    page, headers = render()
    policy = headers["Content-Security-Policy"]
    for tag in ("style", "script"):
        [text] = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.findall(r'\son\w+="|\sstyle="', page)
    assert "innerHTML" not in page


def test_the_root_leads_to_the_page(server: RunningApp) -> None:
    status, headers, _ = server.request("/")
    assert (status, headers["location"]) == (307, "demo/")
    status, headers, body = server.request("/demo/")
    assert (status, body.decode()) == (200, render()[0])
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


def test_without_the_option_there_is_no_page() -> None:
    versions = ModelVersions("two-tower", lambda: Wanted({}, {}, [], None))
    with running(create_app(versions)) as app:
        assert app.request("/")[0] == 404
        assert app.request("/demo/")[0] == 404


def test_without_a_model_the_answer_says_how_to_push_one(server: RunningApp) -> None:
    for name in ("versions", "recommend", "random-user"):
        status, _, body = server.request(f"/demo/api/{name}", {})
        assert (status, json.loads(body)["error"]) == (
            503,
            "No model is served yet. `two-tower run` pushes one.",
        )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"k": 0}, "k: Input should be greater than or equal to 1"),
        ({"k": "many"}, "k: Input should be a valid integer"),
        ({"user": "1"}, "user: Extra inputs are not permitted"),
        ({"events": [{"movie_id": "1", "rating": "NaN"}]}, "events.0.rating: "),
        (["1"], "body: Input should be an object"),
    ],
)
def test_a_bad_body_is_named(server: RunningApp, body: object, message: str) -> None:
    status, _, answer = server.request("/demo/api/recommend", body)
    assert status == 400
    assert json.loads(answer)["error"].startswith(message)


def test_only_json_of_limited_size_is_read(server: RunningApp) -> None:
    status, _, _ = server.request("/demo/api/recommend", b"{}")
    assert status == 415  # as any page could send it, without a preflight
    large = {"user_id": "1" * (1 << 20)}
    status, _, body = server.request("/demo/api/recommend", large)
    message = "The body exceeds 1,048,576 bytes."
    assert (status, json.loads(body)) == (413, {"error": message})
    headers = {"content-type": "application/json"}
    status, _, body = server.request("/demo/api/recommend", b"{nonsense", **headers)
    assert (status, json.loads(body)["error"][:19]) == (400, "body: Invalid JSON:")


def test_a_foreign_name_of_the_server_is_refused(server: RunningApp) -> None:
    assert server.request("/demo/", host="evil.example:8501")[0] == 421
    assert server.request("/demo/api/versions", {}, host="evil.example")[0] == 421
    for own in ("localhost:8501", "127.0.0.1", "[::1]:8501", "192.0.2.7:80"):
        assert server.request("/demo/", host=own)[0] == 200


def test_further_names_of_the_server_can_be_given() -> None:
    versions = ModelVersions("two-tower", lambda: Wanted({}, {}, [], None))
    app = Starlette(routes=routes(versions, hosts=["Movies.example"]))
    with running(app) as server:
        assert server.request("/demo/", host="movies.example:443")[0] == 200
        assert server.request("/demo/", host="other.example")[0] == 421
