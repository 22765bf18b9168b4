"""The client against a server that fails in all the ways that servers do."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.kubeflow.server import bounded_http
from pipeline.kubeflow.server.client import Client
from tests.fixtures.kfp_server import Fault, State, serving
from tests.pipeline.kubeflow.server.conftest import NAME, TEXT
from trainer.errors import UserError


def test_a_pipeline_is_uploaded_once(client: Client, state: State) -> None:
    first = client.deploy(NAME, TEXT)
    again = client.deploy(NAME, TEXT)
    assert (first.is_new, again.is_new) == (True, False)
    assert first.version_id == again.version_id
    assert len(state.pipelines) == len(state.versions) == 1
    assert state.files[first.version_id] == TEXT
    other = client.deploy(NAME, TEXT + "\n# changed\n")
    assert other.pipeline_id == first.pipeline_id
    assert other.version_id != first.version_id


def test_an_old_version_is_found_on_a_later_page(client: Client, state: State) -> None:
    first = client.deploy(NAME, TEXT)
    for number in range(5):
        client.deploy(NAME, f"{TEXT}\n# {number}\n")
    assert not client.deploy(NAME, TEXT).is_new
    assert client.deploy(NAME, TEXT).version_id == first.version_id


@pytest.mark.parametrize("kind", [500, "half", "silent", "text", 502, 503])
@pytest.mark.parametrize("call", ["POST pipelines", "POST pipelines/upload_version"])
def test_a_creation_whose_answer_is_lost_is_not_repeated(
    client: Client, state: State, kind: int | str, call: str
) -> None:
    state.faults[call] = Fault(kind, after=True)
    assert client.deploy(NAME, TEXT).name
    assert len(state.pipelines) == len(state.versions) == 1


@pytest.mark.parametrize("kind", [500, "half", "silent", 503])
def test_failed_reads_are_repeated(
    client: Client, state: State, kind: int | str
) -> None:
    state.faults["GET healthz"] = Fault(kind, times=2)
    client.check()
    assert state.requests == ["GET healthz"] * 3


def test_a_busy_server_is_asked_again(client: Client, state: State) -> None:
    state.faults["POST pipelines"] = Fault(503, times=2)
    assert client.deploy(NAME, TEXT).is_new


def test_a_rejected_file_leaves_no_pipeline_behind(
    client: Client, state: State
) -> None:
    broken = TEXT.replace("2.1.0", "2.0.0")
    with pytest.raises(UserError, match=r"rejected the request \(400\).*not 2\.1\.0"):
        client.deploy(NAME, broken)
    assert state.pipelines == {}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (401, r"authentication failed \(401\).*TWO_TOWER_KFP_TOKEN"),
        (403, r"permission denied \(403\).*--namespace"),
        (404, "is not a Kubeflow Pipelines server of version 2"),
        (302, "another page, such as a login.*TWO_TOWER_KFP_TOKEN"),
        (500, r"failed \(500\).*kubectl -n kubeflow logs"),
        (503, r"overloaded or starting \(503\)"),
        ("half", "closed the connection before its answer was complete"),
        ("text", "did not answer with JSON"),
        ("silent", "did not answer in time"),
    ],
)
def test_each_failure_of_the_server_is_one_line(
    client: Client,
    state: State,
    kind: int | str,
    message: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    state.faults["GET healthz"] = Fault(kind, times=9)
    with pytest.raises(UserError, match=message) as caught:
        client.check()
    assert "\n" not in str(caught.value)
    # Neither urllib3's warnings of retries nor what else a library prints.
    assert capfd.readouterr() == ("", "")


def test_no_server_is_one_line(connect: Callable[..., Client]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    refused = r"cannot be reached: [^<>]*Connection refused.*port-forward"
    with pytest.raises(UserError, match=refused):
        connect(url=f"http://127.0.0.1:{port}").check()


def test_the_token_is_sent_and_never_shown(
    state: State, connect: Callable[..., Client]
) -> None:
    state.token = "s3cr3t"
    client = connect(token="s3cr3t")
    assert "s3cr3t" not in f"{client!r} {vars(client)}"
    client.check()
    with pytest.raises(UserError, match="401") as caught:
        connect(token="other-s3cr3t").check()
    assert "s3cr3t" not in str(caught.value)


def test_the_token_does_not_follow_a_redirect_to_another_server(
    state: State, connect: Callable[..., Client]
) -> None:
    other = State()
    with serving(other) as elsewhere:
        state.login = f"{elsewhere}/dex/auth"
        state.faults["GET healthz"] = Fault(302)
        with pytest.raises(UserError, match="such as a login"):
            connect(token="s3cr3t").check()
    assert state.authorizations == ["Bearer s3cr3t"]
    assert other.authorizations == [None]


def test_a_server_on_this_machine_is_reached_without_the_proxy(
    state: State, connect: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token would be shown to the proxy."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    proxy = State()
    with serving(proxy) as address:
        monkeypatch.setenv("http_proxy", address)
        connect(token="s3cr3t").check()
        assert proxy.requests == []
        connect(url="http://kubeflow.example.com").check()
    assert state.requests == proxy.requests == ["GET healthz"]


def test_namespaces_are_kept_apart(
    state: State, connect: Callable[..., Client]
) -> None:
    one, two = (connect(namespace=name) for name in ("a", "b"))
    assert one.deploy(NAME, TEXT).is_new
    assert two.deploy(NAME, TEXT).is_new
    assert {item["namespace"] for item in state.pipelines.values()} == {"a", "b"}


def _answering(
    headers: dict[str, str], body: bytes, endless: bool, status: int = 200
) -> Any:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)
                while endless:
                    self.wfile.write(body)
                    time.sleep(0.05)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (({}, bytes(3_000_000), False), "is larger than 2,000,000 bytes"),
        (({}, b"x", True), "closed the connection before its answer was complete"),
        (
            ({"Content-Encoding": "gzip"}, gzip.compress(bytes(50_000_000)), False),
            "is larger than 2,000,000 bytes",
        ),
        (({}, b"[" * 100_000, False), "did not answer with JSON"),
        (({"Location": "/again"}, b"x" * 100_000, True, 302), "not answer with JSON"),
        (({}, b"x" * 100_000, True, 503), "closed the connection"),
        (({"Content-Type": "text/html; charset=klingon"}, b"\xff", False), "with JSON"),
    ],
    ids="large endless inflating nested redirects busy undecodable".split(),
)
def test_no_answer_is_read_without_end(
    connect: Callable[..., Client],
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[Any, ...],
    message: str,
) -> None:
    monkeypatch.setattr(bounded_http, "MAX_BYTES", 2_000_000)
    monkeypatch.setattr(bounded_http, "_TOTAL_FACTOR", 1)
    server = _answering(*answer)
    try:
        client = connect(url=f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(UserError, match=message) as caught:
            client.check()
        assert "\n" not in str(caught.value)
    finally:
        server.shutdown()
        server.server_close()
