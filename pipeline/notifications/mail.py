"""E-mail by SMTP."""

from __future__ import annotations

import base64
import contextlib
import smtplib
import socket
import ssl
from collections.abc import Iterator
from email import utils
from email.message import EmailMessage
from typing import Any, Final

from pipeline.notifications.config import EmailConfig
from pipeline.notifications.delivery import NotDeliveredError
from pipeline.notifications.message import Message

_TEMPORARY: Final = range(400, 500)
# What accepted the message need not say goodbye.
_QUIT_SECONDS: Final = 2.0


class Mailer:
    """Sends one message by a mail server; `close` ends what is still going on."""

    def __init__(self, config: EmailConfig, user: str = "", password: str = "") -> None:
        """Makes it; nothing is sent yet.

        Args:
          config: The mail server and the addresses.
          user: Name for the log-in; empty for none.
          password: Its password.
        """
        self._config = config
        self._user = user
        self._password = password
        self._servers: list[smtplib.SMTP] = []

    @property
    def secrets(self) -> list[str]:
        """What no message may hold, also as the protocol encodes it."""
        if not self._user:
            return []
        login = f"\0{self._user}\0{self._password}"
        plain = [self._user, self._password]
        return plain + [
            base64.b64encode(text.encode()).decode() for text in (*plain, login)
        ]

    def send(self, message: Message, seconds: float) -> str:
        """Sends a message, once.

        Args:
          message: The message.
          seconds: Longest wait for the connection, and for the next bytes.

        Raises:
          NotDeliveredError: The server did not take it for all addresses.
        """
        mail = compose(message, self._config)
        try:
            with self._connected(max(seconds, 0.001)) as server:
                refused = server.send_message(mail)
        except smtplib.SMTPException as error:
            raise _refused(error) from error
        except (OSError, ValueError) as error:
            raise _unreachable(error) from error
        if refused:
            raise NotDeliveredError(_of_recipients(refused))
        return f"accepted for {', '.join(self._config.to)}"

    def close(self) -> None:
        """Ends the connection from outside; a server can go on answering for ever."""
        for server in self._servers:
            sock = server.sock
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _connected(self, seconds: float) -> Iterator[smtplib.SMTP]:
        config, context = self._config, ssl.create_default_context()
        servers = self._servers

        # The constructor connects: what it makes must be known before, to be closed.
        class Plain(smtplib.SMTP):
            def connect(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
                servers.append(self)
                return super().connect(*args, **kwargs)

        class Encrypted(smtplib.SMTP_SSL):
            def connect(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
                servers.append(self)
                return super().connect(*args, **kwargs)

        server: smtplib.SMTP
        if config.security == "tls":
            server = Encrypted(
                config.host, config.port, timeout=seconds, context=context
            )
        else:
            server = Plain(config.host, config.port, timeout=seconds)
        try:
            if config.security == "starttls":
                server.starttls(context=context)
            if self._user:
                server.login(self._user, self._password)
            yield server
            with contextlib.suppress(smtplib.SMTPException, OSError):
                if server.sock is not None:
                    server.sock.settimeout(_QUIT_SECONDS)
                server.quit()
        finally:
            server.close()


def compose(message: Message, config: EmailConfig) -> EmailMessage:
    """The message as an e-mail of plain text; its lines hold no line breaks."""
    mail = EmailMessage()
    mail["Subject"] = message.title
    mail["From"] = config.sender
    mail["To"] = ", ".join(config.to)
    mail["Date"] = utils.localtime()
    mail["Message-ID"] = utils.make_msgid(domain=config.sender.rpartition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"  # no answers of people on holiday
    mail.set_content(f"{message.title}\n\n{message.body()}\n")
    return mail


def _refused(error: smtplib.SMTPException) -> NotDeliveredError:
    match error:
        case smtplib.SMTPRecipientsRefused():
            return NotDeliveredError(_of_recipients(error.recipients))
        case smtplib.SMTPAuthenticationError():
            return NotDeliveredError(f"log-in refused: {_answer(error)}")
        case smtplib.SMTPResponseException():
            is_temporary = error.smtp_code in _TEMPORARY
            wait = 0.0 if is_temporary else None
            return NotDeliveredError(f"answered {_answer(error)}", wait=wait)
        case smtplib.SMTPServerDisconnected():
            return NotDeliveredError("the server closed the connection", wait=0.0)
    return NotDeliveredError(str(error))


def _answer(error: smtplib.SMTPResponseException) -> str:
    text = error.smtp_error
    shown = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    return f"{error.smtp_code} {shown}"


def _of_recipients(refused: dict[str, tuple[int, bytes]]) -> str:
    answers = (
        f"{address}: {code} {text.decode(errors='replace')}"
        for address, (code, text) in refused.items()
    )
    return f"refused for {', '.join(answers)}"


def _unreachable(error: Exception) -> NotDeliveredError:
    match error:
        case ssl.SSLCertVerificationError():
            return NotDeliveredError(
                f"its certificate is not trusted: {error.verify_message}"
            )
        case TimeoutError():
            return NotDeliveredError("no answer in time", wait=0.0)
        case socket.gaierror():
            return NotDeliveredError("the name of its host is not known", wait=0.0)
        case ssl.SSLError():
            return NotDeliveredError(
                "no encrypted connection is possible: notify.emails names another "
                "security than the server has at this port"
            )
        case OSError():
            return NotDeliveredError(
                error.strerror or "the connection failed", wait=0.0
            )
    return NotDeliveredError("user, password or text cannot be sent as ASCII")
