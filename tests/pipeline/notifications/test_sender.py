"""What is sent where, what is logged, and what is refused before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.config.loading import dump, load
from pipeline.notifications.config import CommandConfig, NotifyConfig, WebhookConfig
from pipeline.notifications.message import compose
from pipeline.notifications.sender import send
from pipeline.retraining.outcome import Outcome, Status
from tests.fixtures.notification_servers import hook
from trainer.errors import UsageError


def test_one_channel_that_fails_keeps_no_other_from_sending(
    outcome: Outcome,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with hook() as server:
        monkeypatch.setenv("HOOK", server.url)
        monkeypatch.delenv("UNSET", raising=False)
        config = NotifyConfig(
            webhooks=(
                WebhookConfig(url_env="UNSET"),
                WebhookConfig(url_env="HOOK"),
            ),
            commands=(CommandConfig(argv=("false",)),),
        )
        faults = send(outcome, config)
        assert len(server.requests) == 1
    assert [fault.partition(":")[0] for fault in faults] == [
        "notify.webhooks.0",
        "notify.commands.0",
    ]
    shown = capsys.readouterr().err
    assert shown.startswith("Not delivered: two-tower 2026-03-01: a new model is live")
    assert "recall@10: 0.2206" in shown


def test_the_log_of_the_run_has_the_message_and_each_fault(
    outcome: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome.run_id is not None
    log = tmp_path / "runs" / outcome.run_id / "run.log"
    log.parent.mkdir(parents=True)
    log.write_text("the run\n")
    config = NotifyConfig(commands=(CommandConfig(argv=("false",)),))
    send(replace(outcome, workspace=str(tmp_path)), config)
    text = log.read_text()
    assert text.startswith("the run\n")
    assert "two-tower 2026-03-01: a new model is live" in text
    assert "notify.commands.0: exit code 1; not delivered" in text
    assert capsys.readouterr().err == ""


def test_without_channels_nothing_is_shown(
    outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send(outcome, NotifyConfig()) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("status", list(Status))
def test_every_outcome_says_what_happened_and_what_to_do(
    outcome: Outcome, status: Status
) -> None:
    message = compose(replace(outcome, status=status, workspace="/my ws"))
    assert message.title.startswith("two-tower 2026-03-01: ")
    text = message.text()
    command = {
        Status.PUSHED: "two-tower rollback --workspace '/my ws'",
        Status.AWAITING_APPROVAL: f"two-tower approve {outcome.run_id}",
        Status.NOT_BLESSED: f"two-tower report {outcome.run_id}",
        Status.REFUSED: f"two-tower report {outcome.run_id}",
        Status.FAILED: f"two-tower report {outcome.run_id}",
    }
    assert command.get(status, "") in text
    assert "/ws/report.html" in text


def test_a_message_is_short_and_holds_no_secret(outcome: Outcome) -> None:
    reasons = [f"reason {number}" for number in range(50)]
    reasons[0] = "https://me:hunter2@host/x failed " + "y" * 5000
    text = compose(replace(outcome, reasons=reasons)).text()
    assert "hunter2" not in text
    assert "- and 45 more" in text
    assert len(text) < 2000


@pytest.mark.parametrize(
    ("assignment", "remedy"),
    [
        ("webhooks=[{url: 'https://mm.test/hooks/abcdef123'}]", "url_env"),
        ("webhooks=[{url_env: 'https://mm.test/hooks/abcdef123'}]", "variable"),
        (
            "emails=[{host: h, sender: a@b, to: [c@d], user_env: U, "
            "password_env: abcdef123}]",
            "environment variable",
        ),
        ("webhooks=['https://mm.test/hooks/abcdef123']", "section"),
        ("emails=[{host: h, sender: a@b, to: [c@d], password: abcdef123}]", "variable"),
        ("commands=[{argv: [curl, 'https://u:abcdef123@h/x']}]", "variable"),
    ],
)
def test_a_secret_in_the_configuration_is_refused_and_not_shown(
    assignment: str, remedy: str
) -> None:
    with pytest.raises(UsageError) as refused:
        load((), [f"notify.{assignment}"])
    assert "abcdef123" not in str(refused.value)
    assert remedy in str(refused.value)


@pytest.mark.parametrize(
    ("assignment", "named"),
    [
        (
            "emails=[{host: h, sender: a@b, to: [c@d], security: none, "
            "user_env: U, password_env: P}]",
            "clear text",
        ),
        ("emails=[{host: h, sender: a@b, to: [c@d], user_env: U}]", "both"),
        ("emails=[{host: h, sender: 'a@b\\nBcc: x@y', to: [c@d]}]", "e-mail address"),
        ("emails=[{host: h, sender: a@b, to: []}]", "at least 1"),
        ("commands=[{argv: []}]", "at least 1"),
        ("webhooks=[{when: [broken]}]", "'pushed'"),
        ("webhooks=[{timeout_seconds: 0}]", "greater than 0"),
    ],
)
def test_an_impossible_setting_is_named(assignment: str, named: str) -> None:
    with pytest.raises(UsageError, match="notify") as refused:
        load((), [f"notify.{assignment}"])
    assert named in str(refused.value)


def test_channels_survive_a_dump(tmp_path: Path) -> None:
    assignments = [
        "notify.webhooks=[{when: [failed]}]",
        "notify.emails=[{host: smtp.test, sender: a@b.test, to: [c@d.test]}]",
        "notify.commands=[{argv: [sh, -c, 'exit 0']}]",
    ]
    config = load((), assignments)
    path = tmp_path / "config.yaml"
    path.write_text(dump(config))
    assert load([path]) == config
    assert config.computed() == load().computed()


def test_two_tower_notify_shows_what_each_channel_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with hook() as server:
        monkeypatch.setenv("HOOK", server.url + "/s3cretpath")
        webhook = "notify.webhooks=[{url_env: HOOK, when: [failed]}]"
        command = ["notify", "--set", webhook, "--status", "not_blessed"]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        server.answers = [(403, {}, b"action_prohibited")]
        failed = CliRunner().invoke(main, command)
    assert "delivered  notify.webhooks.0" in done.output
    title = "TEST: two-tower 2026-03-01: the new model was not good enough"
    assert server.payload()["blocks"][0]["text"]["text"] == title
    assert failed.exit_code == 1
    assert "answered 403 Forbidden: action_prohibited" in failed.output
    assert "s3cretpath" not in done.output + failed.output


def test_two_tower_notify_needs_a_channel() -> None:
    done = CliRunner().invoke(main, ["notify"])
    assert done.exit_code == 1
    assert "Add one to notify.webhooks" in done.output
