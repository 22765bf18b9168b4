"""`two-tower recommend` through a model server: what it asks, and what goes wrong."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.serving.client import Wishes
from pipeline.serving.rest_client import ServedModel
from pipeline.serving.running_server import RunningServer, announced, find
from trainer.errors import UsageError, UserError

MOVIES = {
    "movie_ids": [["50", ""]],
    "titles": [["Star Wars (1977)", ""]],
    "genres": [["Action", ""]],
    "scores": [[1.5, -3.4e38]],
}


class Handler(BaseHTTPRequestHandler):
    """Answers what the test set, and keeps what it was asked."""

    asked: list[Any]
    answers: dict[str, Any]
    status: int

    def do_GET(self) -> None:
        self.answer({"model_version_status": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = json.loads(body)
        self.asked.append(request)
        self.answer(self.answers[request["signature_name"]])

    def answer(self, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Model-Version", "7")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[Handler]]]:
    answers = {
        name: {"outputs": MOVIES}
        for name in ("serving_default", "recommend", "recommend_from_history")
    } | {name: {"outputs": [True]} for name in ("known_user", "known_movie")}
    state = {"asked": [], "answers": answers, "status": 200}
    kind = type("Kept", (Handler,), state)
    http = HTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}", kind
    http.shutdown()
    thread.join()
    http.server_close()


def test_a_user_is_asked_for_with_the_version_that_answered(
    server: tuple[str, type[Handler]],
) -> None:
    url, handler = server
    model = ServedModel(url, "two-tower")
    assert model.is_there()
    [movie] = model.for_user("42", 2)
    assert (movie.movie_id, movie.title, movie.score) == (
        "50",
        "Star Wars (1977)",
        1.5,
    )
    assert model.name == f"{url}/v1/models/two-tower/versions/7"
    assert handler.asked[-1] == {
        "signature_name": "serving_default",
        "inputs": {"user_id": ["42"], "k": [2]},
    }


def test_what_is_not_wished_for_is_sent_as_nothing(
    server: tuple[str, type[Handler]],
) -> None:
    url, handler = server
    wishes = Wishes(genres=("Comedy",), first_year=1990)
    ServedModel(url, "two-tower").for_user("\udcff", 2, wishes)
    assert handler.asked[-1]["signature_name"] == "recommend"
    assert handler.asked[-1]["inputs"] == {
        "user_id": [{"b64": "/w=="}],
        "movie_ids": [[]],
        "ratings": [[]],
        "timestamps": [[]],
        "exclude_movie_ids": [[]],
        "genres": [["Comedy"]],
        "first_year": [1990],
        "last_year": [0],
        "include_seen": [False],
        "diversity": [0.0],
        "k": [2],
    }


def test_refusals_and_answers_of_something_else_are_errors_of_one_line(
    server: tuple[str, type[Handler]],
) -> None:
    url, handler = server
    model = ServedModel(url, "two-tower")
    handler.answers = dict.fromkeys(handler.answers, {"outputs": 3})
    with pytest.raises(UserError, match="does not answer"):
        model.for_user("42", 2)
    handler.status, handler.answers = 400, {"known_user": {"error": "k is 0"}}
    with pytest.raises(UserError, match="refuses: k is 0"):
        model.for_user("42", 2)
    with pytest.raises(UserError, match="does not answer"):
        ServedModel("http://127.0.0.1:1", "two-tower").for_user("42", 2)
    for malformed in ("localhost", "ftp://host", "http://", "http://host:x"):
        with pytest.raises(UsageError, match="--server is"):
            ServedModel(malformed, "two-tower")


def test_a_workspace_names_its_server_while_it_runs(tmp_path: Path) -> None:
    here = RunningServer("http://127.0.0.1:8501", "two-tower", os.getpid())
    assert find(tmp_path) is None
    with announced(tmp_path, here):
        assert find(tmp_path) == here
    assert find(tmp_path) is None
    dead = {"url": here.url, "model": here.model, "pid": 2**22 + 1}
    for stale in (json.dumps(dead), "{}", "x", '{"url": 1, "model": 2, "pid": -1}'):
        (tmp_path / "server.json").write_text(stale)
        assert find(tmp_path) is None
