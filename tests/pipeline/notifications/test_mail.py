"""E-mail, against a real mail server."""

from __future__ import annotations

import email
import email.policy
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.notifications.config import EmailConfig, NotifyConfig
from pipeline.notifications.sender import send
from pipeline.retraining.outcome import Outcome
from tests.fixtures.notification_servers import (
    MailServer,
    certificate,
    close,
    drip,
    hang,
    tcp,
)

LOGIN = ("me@example.com", "s3cretword")


def config(port: int, **settings: Any) -> NotifyConfig:
    given = {"security": "none", "timeout_seconds": 3.0, **settings}
    mail = EmailConfig(
        host="127.0.0.1",
        port=port,
        sender="pipeline@example.com",
        to=("a@example.com", "b@example.com"),
        **given,
    )
    return NotifyConfig(emails=(mail,))


def test_a_mail_is_plain_text_with_what_a_person_needs(outcome: Outcome) -> None:
    server = MailServer()
    with tcp(server.serve) as port:
        assert send(outcome, config(port)) == []
    ((sender, recipients, text),) = server.mails
    assert "pipeline@example.com" in sender
    assert recipients == ["a@example.com", "b@example.com"]
    mail = email.message_from_string(text, policy=email.policy.default)
    assert mail["Subject"] == "two-tower 2026-03-01: a new model is live"
    assert mail["To"] == "a@example.com, b@example.com"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_type() == "text/plain"
    body = mail.get_content()
    assert "recall@10: 0.2206 (live 0.2174, popularity 0.0860)" in body
    assert "took 0:01:32" in body


def test_text_from_data_adds_no_header(outcome: Outcome) -> None:
    hostile = "x\r\nBcc: victim@example.com\r\n\r\nbody"
    said = replace(outcome, span=hostile, reasons=(f"{hostile}\n.\nQUIT",))
    server = MailServer()
    with tcp(server.serve) as port:
        assert send(said, config(port)) == []
    ((_, recipients, text),) = server.mails
    mail = email.message_from_string(text, policy=email.policy.default)
    assert mail["Bcc"] is None and "victim@example.com" not in recipients
    assert "Bcc: victim" in mail["Subject"]
    assert "QUIT" in mail.get_content()


def test_starttls_and_a_log_in(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context, path = certificate(tmp_path)
    monkeypatch.setenv("MAIL_USER", LOGIN[0])
    monkeypatch.setenv("MAIL_WORD", LOGIN[1])
    server = MailServer(context=context, login=LOGIN)
    names = {"user_env": "MAIL_USER", "password_env": "MAIL_WORD"}
    with tcp(server.serve) as port:
        encrypted = config(port, security="starttls", **names)
        (fault,) = send(outcome, encrypted)
        assert "its certificate is not trusted" in fault
        assert not any(line.startswith("AUTH") for line in server.commands)
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        assert send(outcome, encrypted) == []
        monkeypatch.setenv("MAIL_WORD", "wr0ngword")
        (fault,) = send(outcome, encrypted)
    assert len(server.mails) == 1
    # The server echoes what it got, in base64.
    assert fault == "notify.emails.0: log-in refused: 535 no: ***"


def test_tls_from_the_start(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context, path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    server = MailServer()

    def serve(connection: Any) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            server.serve(encrypted)

    with tcp(serve) as port:
        assert send(outcome, config(port, security="tls")) == []
        assert len(server.mails) == 1
        (fault,) = send(outcome, config(port, security="none", timeout_seconds=0.5))
        assert fault.startswith("notify.emails.0: ")


def test_a_server_without_starttls_gets_nothing(outcome: Outcome) -> None:
    server = MailServer()
    with tcp(server.serve) as port:
        (fault,) = send(outcome, config(port, security="starttls"))
    assert "STARTTLS" in fault
    assert server.mails == []


def test_a_temporary_refusal_is_tried_again(outcome: Outcome) -> None:
    server = MailServer(after_data=["451 later", "421 later"])
    with tcp(server.serve) as port:
        assert send(outcome, config(port)) == []
    assert len(server.mails) == 1
    server.after_data = ["554 this is spam"]
    with tcp(server.serve) as port:
        (fault,) = send(outcome, config(port))
    assert fault == "notify.emails.0: answered 554 this is spam"


def test_an_address_that_is_refused_is_named(outcome: Outcome) -> None:
    server = MailServer(refused={"b@example.com": "550 nobody"})
    with tcp(server.serve) as port:
        (fault,) = send(outcome, config(port))
    assert fault == "notify.emails.0: refused for b@example.com: 550 nobody"
    assert len(server.mails) == 1, "the other address got it"


@pytest.mark.parametrize("serve", [hang, drip(b"220-"), close])
def test_a_server_that_does_not_behave_costs_no_more_than_its_time(
    outcome: Outcome, serve: Any
) -> None:
    with tcp(serve) as port:
        start = time.monotonic()
        (fault,) = send(outcome, config(port, timeout_seconds=0.3))
        assert time.monotonic() - start < 1.5
    assert fault.startswith("notify.emails.0: ")


def test_a_server_that_floods_is_cut_off(outcome: Outcome) -> None:
    ended: list[bool] = []

    def flood(connection: Any) -> None:
        try:
            while True:
                connection.sendall(b"220-more\r\n" * 100)
                time.sleep(0.001)
        except OSError:
            ended.append(True)

    with tcp(flood) as port:
        (fault,) = send(outcome, config(port, timeout_seconds=0.2))
        assert "no end within" in fault
        end = time.monotonic() + 5
        while not ended and time.monotonic() < end:
            time.sleep(0.01)
    assert ended, "the connection is still read"
