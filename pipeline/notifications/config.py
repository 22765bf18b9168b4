"""`NotifyConfig`: who learns how a retraining ended, and by which channel.

The address of a webhook and a password are secrets, and the configuration is readable
in the files of every run: here are only the names of the environment variables that
hold them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from pipeline.retraining.outcome import Status
from pipeline.secret_text import holds_secret, redacted
from pipeline.secret_variables import SecretInConfigError, Variable
from trainer.config import FROZEN
from trainer.text import has_control_characters

_ADDRESS: Final = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+")
_HOST: Final = r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$"
# What somebody should know or do something about.
_NEWS: Final = (
    Status.FAILED,
    Status.REFUSED,
    Status.NOT_BLESSED,
    Status.PUSHED,
    Status.AWAITING_APPROVAL,
    Status.LOCKED,
)


def _is_address(value: Any) -> Any:
    if isinstance(value, str) and not _ADDRESS.fullmatch(value):
        raise ValueError(f"{redacted(value)!r} is not an e-mail address: a@example.com")
    return value


Address = Annotated[str, BeforeValidator(_is_address)]
Statuses = tuple[Status, ...]
# Of one notification, all attempts together.
Seconds = Annotated[float, Field(gt=0, le=300)]


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class WebhookConfig:
    """A webhook that takes Slack's JSON: Slack, Mattermost, Rocket.Chat, and others.

    Attributes:
      url_env: Environment variable with the address of the webhook.
      when: Outcomes that are sent.
      timeout_seconds: Longest time that a notification takes, all attempts together.
    """

    url_env: Variable = "TWO_TOWER_WEBHOOK_URL"
    when: Statuses = _NEWS
    timeout_seconds: Seconds = 15.0


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class EmailConfig:
    """An e-mail, sent by a mail server (SMTP).

    Attributes:
      host: Name of the mail server.
      port: Its port: by custom 587 for "starttls", 465 for "tls" and 25 for "none".
      security: "starttls" encrypts the connection after a greeting, and "tls" from the
        start; "none" encrypts nothing, and so sends no password.
      user_env: Environment variable with the user's name; None for no log-in.
      password_env: Environment variable with the password.
      sender: Address from which it comes.
      to: Addresses to which it goes.
      when: Outcomes that are sent.
      timeout_seconds: Longest time that a notification takes, all attempts together.
    """

    host: Annotated[str, Field(pattern=_HOST)]
    sender: Address
    to: Annotated[tuple[Address, ...], Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user_env: Variable | None = None
    password_env: Variable | None = None
    when: Statuses = _NEWS
    timeout_seconds: Seconds = 30.0

    @model_validator(mode="after")
    def _check_login(self) -> EmailConfig:
        if (self.user_env is None) != (self.password_env is None):
            raise ValueError(
                "notify.emails: a log-in needs both user_env and password_env"
            )
        if self.user_env is not None and self.security == "none":
            raise ValueError(
                "notify.emails: security is none, with which a password would be sent "
                "in clear text: set it to starttls or tls"
            )
        return self


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class CommandConfig:
    """A command that gets the outcome as JSON on its standard input.

    Attributes:
      argv: Program and arguments. They are seen by all users of the machine: a secret
        belongs into the environment, which the command inherits.
      when: Outcomes for which it is started.
      timeout_seconds: After this time it is killed, with the processes that it started.
    """

    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    when: Statuses = _NEWS
    timeout_seconds: Seconds = 30.0

    @model_validator(mode="after")
    def _check_arguments(self) -> CommandConfig:
        for argument in self.argv:
            if holds_secret(argument):
                raise SecretInConfigError(
                    "notify.commands: an argument looks like a secret, and every user "
                    "of the machine can read the arguments of a process",
                    "Put it into an environment variable that the command reads.",
                )
            if has_control_characters(argument):
                raise ValueError(f"notify.commands: {argument!r} is not one line")
        if not self.argv[0]:
            raise ValueError("notify.commands: the name of the program is empty")
        return self


Channel = WebhookConfig | EmailConfig | CommandConfig


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class NotifyConfig:
    """Channels of notifications; without one, only the log of the run has them.

    Attributes:
      webhooks: Webhooks.
      emails: E-mails.
      commands: Commands.
    """

    webhooks: tuple[WebhookConfig, ...] = ()
    emails: tuple[EmailConfig, ...] = ()
    commands: tuple[CommandConfig, ...] = ()

    def channels(self) -> Iterator[tuple[str, Channel]]:
        """Yields the name of each channel, as in `notify.<name>`, and its settings."""
        for kind in ("webhooks", "emails", "commands"):
            for index, channel in enumerate(getattr(self, kind)):
                yield f"{kind}.{index}", channel

    def variables(self) -> set[str]:
        """The environment variables that the channels read."""
        return {
            value
            for _, channel in self.channels()
            for name, value in vars(channel).items()
            if name.endswith("_env") and value is not None
        }
