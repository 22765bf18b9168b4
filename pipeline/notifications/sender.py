"""Sends the outcome of a retraining through every channel that wants it.

A failed notification fails nothing: it is logged, with what was not delivered.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pipeline.notifications import webhook
from pipeline.notifications.command import Command
from pipeline.notifications.config import (
    Channel,
    CommandConfig,
    EmailConfig,
    NotifyConfig,
    WebhookConfig,
)
from pipeline.notifications.delivery import (
    Answer,
    Delivery,
    NotDeliveredError,
    deliver_all,
)
from pipeline.notifications.mail import Mailer
from pipeline.notifications.message import Message, compose
from pipeline.retraining.outcome import Outcome
from pipeline.runs.workspace import RunFiles, Workspace
from trainer.text import printable

# What a command finds in its environment, beside the JSON on its standard input.
_PREFIX: Final = "TWO_TOWER_"


def send(outcome: Outcome, config: NotifyConfig) -> list[str]:
    """Sends an outcome to the channels that want its status; never raises.

    It takes as long as the longest `timeout_seconds`, and half a second.

    Args:
      outcome: What became of a retraining.
      config: The channels.

    Returns:
      A line for each channel to which it was not delivered. They are in the log, too.
    """
    try:
        return _send(outcome, config)
    except Exception as error:  # whatever it is, the retraining has ended
        return [f"notifications: unexpected {type(error).__name__}"]


def _send(outcome: Outcome, config: NotifyConfig) -> list[str]:
    message = compose(outcome)
    answers = answers_of(outcome, message, config)
    faults = [
        f"notify.{answer.name}: {answer.text}"
        for answer in answers
        if not answer.delivered
    ]
    sent = [f"notify.{answer.name}: sent" for answer in answers if answer.delivered]
    _log(outcome, message, [*sent, *(f"{fault}; not delivered" for fault in faults)])
    return faults


def answers_of(
    outcome: Outcome, message: Message, config: NotifyConfig, *, all_of: bool = False
) -> list[Answer]:
    """Sends a message; returns what each channel answered.

    Args:
      outcome: What the message is about.
      message: The message.
      config: The channels.
      all_of: Whether it goes to every channel, also one that does not want its status.
    """
    wanted = [
        (name, channel)
        for name, channel in config.channels()
        if all_of or outcome.status in channel.when
    ]
    answers: list[Answer] = []
    deliveries: list[Delivery] = []
    for name, channel in wanted:
        try:
            deliveries.append(_delivery(name, channel, outcome, message))
        except NotDeliveredError as error:
            answers.append(Answer(name, text=str(error)))
    return [*answers, *deliver_all(deliveries)]


def _delivery(
    name: str, channel: Channel, outcome: Outcome, message: Message
) -> Delivery:
    """Makes a delivery with its secrets.

    Raises:
      NotDeliveredError: A variable is not set.
    """
    seconds = channel.timeout_seconds
    if isinstance(channel, WebhookConfig):
        url = _secret(channel.url_env)
        content = webhook.payload(message)
        path = url.partition("://")[2].partition("/")[2]
        return Delivery(
            name, seconds, lambda left: webhook.post(url, content, left), (url, path)
        )
    if isinstance(channel, EmailConfig):
        mailer = _mailer(channel)
        return Delivery(
            name,
            seconds,
            lambda left: mailer.send(message, left),
            mailer.secrets,
            mailer.close,
        )
    assert isinstance(channel, CommandConfig)
    command = Command(channel.argv, _variables(outcome, message))
    text = _json(outcome)
    return Delivery(
        name, seconds, lambda left: command.run(text, left), close=command.kill
    )


def _mailer(config: EmailConfig) -> Mailer:
    if config.user_env is None or config.password_env is None:
        return Mailer(config)
    return Mailer(config, _secret(config.user_env), _secret(config.password_env))


def _secret(variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise NotDeliveredError(f"the environment variable {variable} is not set")
    return value


def _json(outcome: Outcome) -> str:
    """The outcome as ASCII; a number that is not finite is null."""
    text = json.dumps(dataclasses.asdict(outcome))
    return json.dumps(json.loads(text, parse_constant=lambda _: None), indent=2)


def _variables(outcome: Outcome, message: Message) -> Mapping[str, str]:
    values = {
        "STATUS": outcome.status.value,
        "PIPELINE": outcome.pipeline,
        "SPAN": outcome.span or "",
        "RUN_ID": outcome.run_id or "",
        "REPORT": outcome.report or "",
        "MESSAGE": message.title,
    }
    shown = {f"{_PREFIX}{name}": printable(value) for name, value in values.items()}
    return {**shown, f"{_PREFIX}TEXT": message.body()}


def _log(outcome: Outcome, message: Message, lines: list[str]) -> None:
    """Appends the message and what became of it to the run's log.

    Without a run, what was not delivered is shown on standard error; why, is for the
    caller of `send` to say.
    """
    text = message.text().rstrip()
    if outcome.run_id and outcome.workspace:
        runs = Workspace(Path(outcome.workspace)).runs_dir
        log = RunFiles(runs / outcome.run_id).log
        # The folder of the run may have been deleted, or the disk be full.
        with contextlib.suppress(OSError), open(log, "a", encoding="utf-8") as file:
            file.write("\n".join(["", text, "", *lines, ""]))
            return
    if any(line.endswith("not delivered") for line in lines):
        from pipeline.cli.tables import echo

        with contextlib.suppress(OSError):
            echo(f"Not delivered: {text}", err=True)
