"""Failed requests to a Kubeflow Pipelines server as one-line errors with a remedy."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any, Final

from pipeline.kubeflow.server.endpoint import ENDPOINT_ENV, TOKEN_ENV
from pipeline.secret_text import redacted
from trainer.errors import UserError
from trainer.text import printable

_MAX_MESSAGE: Final = 300
_MAX_TEXT: Final = 10_000
_LOGIN: Final = (
    f"Give --token-file or set {TOKEN_ENV}, and --namespace to one in which you may "
    "run pipelines."
)


class NotFoundError(UserError):
    """The server has no such resource (404)."""


class ConflictError(UserError):
    """The name is taken (409)."""


class UnknownOutcomeError(UserError):
    """The request was sent, but whether the server carried it out is not known."""


class BusyError(UnknownOutcomeError):
    """The server, or a proxy in front of it, is overloaded or starting (429, 503)."""


def translate(url: str, error: Exception) -> UserError:
    """Translates an error of kfp_server_api or urllib3.

    Args:
      url: The server.
      error: What a request raised.
    """
    from urllib3 import exceptions

    if hasattr(error, "status"):
        return _from_status(url, error.status, getattr(error, "body", None))
    cause: Any = getattr(error, "reason", None) or error  # the last of several attempts
    if isinstance(cause, exceptions.ReadTimeoutError):
        return UnknownOutcomeError(
            f"The server {url} did not answer in time",
            "Try again, with a longer --timeout if the server is slow.",
        )
    not_sent = (
        exceptions.ConnectTimeoutError,
        exceptions.LocationValueError,
        exceptions.NewConnectionError,
        exceptions.ProxyError,
        exceptions.SSLError,
    )
    if isinstance(cause, not_sent):
        # urllib3 puts the representation of its connection before the message.
        message = re.sub(r"^.*?(\)|>): ", "", str(cause.args[-1]))
        return UserError(
            f"The server {url} cannot be reached: {' '.join(message.split())}",
            f"Check --endpoint or {ENDPOINT_ENV}; for a server inside a cluster run "
            "`kubectl -n kubeflow port-forward svc/ml-pipeline 8888:8888`.",
        )
    return UnknownOutcomeError(
        f"The server {url} closed the connection before its answer was complete",
        "Try again; `two-tower schedule list` and the server's pages show what exists.",
    )


def not_json(url: str) -> UserError:
    """The answer is not a JSON object: usually the HTML of a login page."""
    return UnknownOutcomeError(
        f"The server {url} did not answer with JSON but with another page, such as a "
        "login",
        f"Check --endpoint. {_LOGIN}",
    )


def _from_status(url: str, status: int, body: str | None) -> UserError:
    code = f"({status}){_server_message(body)}"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return not_json(url)  # one redirect after the other
    if status in _BY_STATUS:
        kind, message, remedy = _BY_STATUS[status]
        return kind(f"The server {url}: {message} {code}", remedy)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnknownOutcomeError(
            f"The server {url} failed {code}",
            "Look into its log: `kubectl -n kubeflow logs deploy/ml-pipeline`.",
        )
    return UserError(
        f"The server {url} rejected the request {code}",
        "Check the pipeline with `two-tower compile --check`.",
    )


_BUSY: Final = (BusyError, "it is overloaded or starting", "Try again later.")
_BY_STATUS: Final[dict[int, tuple[type[UserError], str, str]]] = {
    HTTPStatus.UNAUTHORIZED: (UserError, "authentication failed", _LOGIN),
    HTTPStatus.FORBIDDEN: (UserError, "permission denied", _LOGIN),
    HTTPStatus.NOT_FOUND: (NotFoundError, "not found", "Check --endpoint."),
    HTTPStatus.CONFLICT: (ConflictError, "the name is taken", "Choose another name."),
    HTTPStatus.TOO_MANY_REQUESTS: _BUSY,
    HTTPStatus.SERVICE_UNAVAILABLE: _BUSY,
}


def _server_message(body: str | None) -> str:
    """The message in the JSON of an error answer, in one line."""
    try:
        content = json.loads(body or "")
        text = str(content.get("message") or content.get("error") or "")[:_MAX_TEXT]
    except (ValueError, AttributeError, RecursionError):
        return ""
    line = redacted(printable(" ".join(text.split())))[:_MAX_MESSAGE]
    return f": {line}" if line else ""
