"""A request that cannot be answered, with its status in gRPC and in HTTP."""

from __future__ import annotations

import enum
from typing import Final

from trainer.text import escaped

_LONGEST_MESSAGE: Final = 1000  # characters


class Status(enum.IntEnum):
    """The codes of gRPC, which are those of TensorFlow's errors."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


# As TensorFlow Serving does.
_HTTP: Final = {
    Status.OK: 200,
    Status.INVALID_ARGUMENT: 400,
    Status.FAILED_PRECONDITION: 400,
    Status.OUT_OF_RANGE: 400,
    Status.UNAUTHENTICATED: 401,
    Status.PERMISSION_DENIED: 403,
    Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409,
    Status.ABORTED: 409,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.CANCELLED: 499,
    Status.UNIMPLEMENTED: 501,
    Status.UNAVAILABLE: 503,
    Status.DEADLINE_EXCEEDED: 504,
}


class RequestError(Exception):
    """A request that is refused, or that failed.

    Attributes:
      status: Code of gRPC.
      message: One printable line for the client.
      http_status: Code of HTTP.
    """

    def __init__(
        self, status: Status, message: str, http_status: int | None = None
    ) -> None:
        """Makes an error; `http_status` is by default the one of `status`."""
        self.status = status
        self.message = escaped(message[:_LONGEST_MESSAGE])
        self.http_status = http_status or _HTTP.get(status, 500)
        super().__init__(self.message)


def invalid(message: str) -> RequestError:
    """An error of the client's."""
    return RequestError(Status.INVALID_ARGUMENT, message)


def not_found(message: str) -> RequestError:
    """An error about a model or version that is not there."""
    return RequestError(Status.NOT_FOUND, message)
