"""Webhooks, against real servers."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.notifications.config import NotifyConfig, WebhookConfig
from pipeline.notifications.sender import send
from pipeline.retraining.outcome import Outcome, Status
from tests.fixtures.notification_servers import (
    certificate,
    close,
    drip,
    hang,
    hook,
    tcp,
)

PATH = "/services/T0/B0/s3cretpath"
HOOKS = NotifyConfig(webhooks=(WebhookConfig(url_env="HOOK", timeout_seconds=2),))
FAST = NotifyConfig(webhooks=(WebhookConfig(url_env="HOOK", timeout_seconds=0.3),))
HEAD = b"HTTP/1.1 200 OK\r\nX-Drip: "


def faults_of(
    outcome: Outcome, url: str, monkeypatch: pytest.MonkeyPatch, config: NotifyConfig
) -> list[str]:
    monkeypatch.setenv("HOOK", url)
    faults = send(outcome, config)
    assert "s3cretpath" not in str(faults)
    return faults


def test_slack_gets_text_and_blocks(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hook() as server:
        assert faults_of(outcome, server.url + PATH, monkeypatch, HOOKS) == []
    ((line, headers, _),) = server.requests
    assert line == f"POST {PATH} HTTP/1.1"
    assert headers["Content-Type"] == "application/json"
    payload = server.payload()
    assert payload["text"].startswith("two-tower 2026-03-01: a new model is live\n```")
    header, *sections = payload["blocks"]
    assert header["text"]["text"] == "two-tower 2026-03-01: a new model is live"
    texts = [section["text"]["text"] for section in sections]
    assert "- ndcg@10 0.1213 is 2.9x popularity" in texts[0]
    assert "recall@10: 0.2206 (live 0.2174, popularity 0.0860)" in texts[1]
    assert "Live now: version 1772323200, before: 1772236800" in texts[2]


def test_text_from_data_calls_nobody_and_formats_nothing(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = "<!channel> @here *b* ```code``` & \u202e\x1b[2J\nsecond line"
    said = replace(outcome, reasons=(hostile,), span="`@all` *x* <!here>")
    with hook() as server:
        assert faults_of(said, server.url, monkeypatch, HOOKS) == []
    text = server.payload()["text"]
    assert "<" not in text and "\x1b" not in text and "\u202e" not in text
    title, code = text.split("\n```\n", 1)
    assert not set("`*@_") & set(title)
    # The code block ends where the text ends: nothing in it is read as Markdown.
    assert code.endswith("\n```") and code.count("`") == 3
    assert "second line" in code.split("&lt;!channel&gt;")[1].split("\n")[0]
    for block in server.payload()["blocks"]:
        assert block["text"]["type"] == "plain_text"


def test_only_wanted_outcomes_are_sent(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = replace(outcome, status=Status.NOTHING_TO_DO)
    with hook() as server:
        assert faults_of(nothing, server.url, monkeypatch, HOOKS) == []
        assert server.requests == []
        when = (Status.NOTHING_TO_DO,)
        wanting = WebhookConfig(url_env="HOOK", when=when)
        config = NotifyConfig(webhooks=(wanting,))
        assert faults_of(nothing, server.url, monkeypatch, config) == []
        assert len(server.requests) == 1


def test_a_busy_server_is_asked_again(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hook() as server:
        server.answers = [(503, {}, b""), (429, {"Retry-After": "0"}, b"")]
        assert faults_of(outcome, server.url, monkeypatch, HOOKS) == []
    assert len(server.requests) == 3


def test_retry_after_is_waited_for_within_the_time_only(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hook() as server:
        server.answers = [(429, {"Retry-After": "1"}, b"")]
        start = time.monotonic()
        assert faults_of(outcome, server.url, monkeypatch, HOOKS) == []
        assert time.monotonic() - start >= 1
        server.answers = [(429, {"Retry-After": "3600"}, b"slow down")]
        (fault,) = faults_of(outcome, server.url, monkeypatch, HOOKS)
    assert "answered 429" in fault and "slow down" in fault
    assert len(server.requests) == 3


def test_an_error_of_the_server_is_named_after_three_attempts(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hook() as server:
        server.answers = [(500, {}, b"<html>no</html>")] * 3
        (fault,) = faults_of(outcome, server.url, monkeypatch, HOOKS)
    expected = "notify.webhooks.0: answered 500 Internal Server Error, 3 attempts"
    assert fault == expected


def test_what_is_refused_is_not_repeated(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hook() as server:
        answer = f"no_service {server.url}{PATH}\x1b[2J".encode()
        server.answers = [(404, {}, answer)]
        (fault,) = faults_of(outcome, server.url + PATH, monkeypatch, HOOKS)
    assert fault == "notify.webhooks.0: answered 404 Not Found: no_service *** [2J"
    assert len(server.requests) == 1


def test_redirects_are_not_followed(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hook() as other, hook() as server:
        server.answers = [(307, {"Location": other.url + PATH}, b"")]
        (fault,) = faults_of(outcome, server.url + PATH, monkeypatch, HOOKS)
    assert "answered 307" in fault and "not followed" in fault
    assert other.requests == []


@pytest.mark.parametrize("serve", [hang, drip(HEAD), drip(b"")])
def test_a_server_that_does_not_end_costs_no_more_than_its_time(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch, serve: object
) -> None:
    with tcp(serve) as port:  # type: ignore[arg-type]
        start = time.monotonic()
        url = f"http://127.0.0.1:{port}{PATH}"
        (fault,) = faults_of(outcome, url, monkeypatch, FAST)
        assert time.monotonic() - start < 1.5
    assert "no end within 0.3 seconds" in fault or "no answer in time" in fault


def test_a_server_that_closes_the_connection_is_a_fault(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tcp(close) as port:
        url = f"http://127.0.0.1:{port}{PATH}"
        (fault,) = faults_of(outcome, url, monkeypatch, HOOKS)
    assert "3 attempts" in fault


def test_an_unknown_certificate_is_refused_and_a_trusted_one_is_not(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context, path = certificate(tmp_path)
    with hook(context) as server:
        (fault,) = faults_of(outcome, server.url + PATH, monkeypatch, HOOKS)
        assert "its certificate is not trusted: self" in fault
        assert server.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        assert faults_of(outcome, server.url + PATH, monkeypatch, HOOKS) == []


def test_the_proxy_of_the_environment_is_used(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hook() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        url = f"http://hooks.example.com{PATH}"
        assert faults_of(outcome, url, monkeypatch, HOOKS) == []
    assert proxy.requests[0][0] == f"POST {url} HTTP/1.1"


@pytest.mark.parametrize(
    "url",
    [
        "hooks.example.com/x",
        "file:///etc/passwd",
        "https://u:s3cretpath@h/x",
        "https://h:port/s3cretpath",
        "https://h\u00e4/s3cretpath",
    ],
)
def test_what_is_no_address_is_not_shown(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    (fault,) = faults_of(outcome, url, monkeypatch, HOOKS)
    assert "its variable holds no address" in fault
    assert url not in fault


def test_a_variable_that_is_not_set_is_named(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    (fault,) = send(outcome, HOOKS)
    assert fault == "notify.webhooks.0: the environment variable HOOK is not set"
