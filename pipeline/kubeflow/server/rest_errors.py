"""What can go wrong with a request, each in one line with its remedy."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
from http import HTTPStatus
from typing import Any, Final

from pipeline.kubeflow.server.endpoint import ENDPOINT_ENV, TOKEN_ENV
from trainer.errors import UserError

_MAX_MESSAGE: Final = 300
_BUSY: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_MULTIPLE_CHOICES: Final = 300
_BAD_REQUEST: Final = 400
_SERVER_ERROR: Final = 500


class NotFound(UserError):
    """There is no such thing (404)."""


class Conflict(UserError):
    """The name is taken (409)."""


class Unanswered(UserError):
    """The request was sent and no whole answer came: it may have been done."""


class Unreachable(UserError):
    """The request was not received."""


def no_kubeflow(url: str) -> UserError:
    """Something else answers there."""
    return UserError(
        f"{url} is no Kubeflow Pipelines server of version 2",
        "Check --endpoint; version 1 cannot run this pipeline.",
    )


def no_connection(url: str, reason: Any) -> UserError:
    """Nothing answers there."""
    if isinstance(reason, TimeoutError | ConnectionResetError):
        return Unanswered(
            f"The server {url} did not answer in time",
            "Try again, or look whether it is overloaded.",
        )
    cause = "its name is unknown" if isinstance(reason, socket.gaierror) else reason
    return Unreachable(
        f"The server {url} cannot be reached: {cause}",
        f"Check --endpoint or {ENDPOINT_ENV}; for a server inside a cluster run "
        "`kubectl -n kubeflow port-forward svc/ml-pipeline 8888:8888`.",
    )


def refused(url: str, error: urllib.error.HTTPError) -> UserError:
    """The server answers, but not as we hoped."""
    status, told = error.code, f"({error.code}){_told(error)}"
    if status in _STATUS:
        kind, message, remedy = _STATUS[status]
        return kind(f"The server {url} {message} {told}", remedy)
    if _MULTIPLE_CHOICES <= status < _BAD_REQUEST:
        return UserError(
            f"The server {url} wants a login: it redirects to another page",
            f"Give --token-file, or set {TOKEN_ENV}.",
        )
    if status in _BUSY:
        return Unreachable(
            f"The server {url} is overloaded or starting {told}", "Try again later."
        )
    if status >= _SERVER_ERROR:
        return Unanswered(
            f"The server {url} failed {told}",
            "Look into its log: `kubectl -n kubeflow logs deploy/ml-pipeline`.",
        )
    return UserError(
        f"The server {url} refuses the request {told}",
        "Check the pipeline with `two-tower compile --check`.",
    )


_IDENTITY: Final = (
    f"Give --token-file or set {TOKEN_ENV}, and --namespace to one where you may run "
    "pipelines."
)
_STATUS: Final[dict[int, tuple[type[UserError], str, str]]] = {
    HTTPStatus.UNAUTHORIZED: (UserError, "does not know us", _IDENTITY),
    HTTPStatus.FORBIDDEN: (UserError, "does not permit this", _IDENTITY),
    HTTPStatus.NOT_FOUND: (NotFound, "has no such thing", "Check --endpoint."),
    HTTPStatus.CONFLICT: (Conflict, "has that name already", "Take another."),
}


def _told(error: urllib.error.HTTPError) -> str:
    """What the server says, in one line."""
    try:
        content = json.loads(error.read())
        text = str(content.get("message") or content.get("error") or "")
    except (ValueError, AttributeError, OSError, http.client.HTTPException):
        return ""
    line = " ".join(text.split())[:_MAX_MESSAGE]
    return f": {line}" if line else ""
