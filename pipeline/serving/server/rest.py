"""TensorFlow Serving's REST API below `/v1/models`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from pipeline.serving.server import json_tensors, status
from pipeline.serving.server.errors import RequestError, Status, invalid
from pipeline.serving.server.json_tensors import JsonRequest
from pipeline.serving.server.predictor import (
    Predictor,
    Target,
    new_request_id,
)

MAX_BODY: Final = 16 << 20  # bytes
# Parsing more than this takes long enough to do it beside the event loop.
_SMALL: Final = 64 << 10
_PATH: Final = re.compile(
    r"(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
    r"(?P<method>:[a-z]+|/metadata)?",
    re.ASCII,
)
_REQUEST_ID: Final = "X-Request-ID"
_VERSION: Final = "X-Model-Version"
_LONGEST_ID: Final = 200  # characters
_LARGEST_VERSION: Final = 2**63 - 1


class JsonResponse(Response):
    """An answer in JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Returns the body."""
        return json_tensors.to_json(content)


async def read_body(request: Request) -> bytes:
    """Reads a body of at most `MAX_BODY` bytes.

    Raises:
      RequestError: It is larger, or the client has gone.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY:
        raise _too_large()
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > MAX_BODY:
                raise _too_large()
            parts.append(part)
    except ClientDisconnect as error:
        raise RequestError(Status.CANCELLED, "The client has gone") from error
    return b"".join(parts)


def target_of(path: str) -> tuple[Target, str]:
    """Returns the model that a path below `/v1/models/` names, and the method.

    Raises:
      RequestError: The path is malformed.
    """
    match = _PATH.fullmatch(path)
    if not match:
        raise invalid(f"Malformed request: /v1/models/{path}")
    version: int | str | None = match["label"]
    if match["version"]:
        digits = match["version"].lstrip("0") or "0"
        # Python refuses to convert thousands of digits.
        if len(digits) > len(str(_LARGEST_VERSION)) or int(digits) > _LARGEST_VERSION:
            raise invalid(f"Failed to convert version: {digits} to numeric.")
        version = int(digits)
    return Target(match["name"], version), match["method"] or ""


class RestApi:
    """The handler of all paths below `/v1/models/`."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    async def handle(self, request: Request) -> Response:
        """Answers a request.

        Raises:
          RequestError: It is refused.
        """
        target, method = target_of(request.path_params["path"])
        if request.method == "POST":
            if method == ":predict":
                return await self._predict(target, request)
            raise invalid(f"Malformed request: POST {request.url.path}")
        if method == "/metadata":
            version = self._predictor.find(target)
            return JsonResponse(status.metadata_json(version, target.name))
        if method:
            raise invalid(f"Malformed request: GET {request.url.path}")
        return JsonResponse(status.status_json(self._predictor, target))

    async def _predict(self, target: Target, request: Request) -> Response:
        predictor = self._predictor
        with predictor.metrics.measured("rest") as measured:
            predictor.find(target)  # before a large body is read
            body = await read_body(request)
            is_small = len(body) <= _SMALL
            parsed = await _beside(is_small, JsonRequest.parse, body)
            spec = predictor.find(target).signature(parsed.signature_name)
            measured.signature = parsed.signature_name
            inputs = await _beside(is_small, parsed.arrays, spec)
            request_id = request.headers.get(_REQUEST_ID, "")[:_LONGEST_ID]
            request_id = request_id or new_request_id()
            version, outputs = await predictor.predict(
                target, parsed.signature_name, inputs, request_id
            )
            content = await _beside(is_small, _render, outputs, parsed.by_row)
        headers = {_VERSION: str(version.version), _REQUEST_ID: request_id}
        return Response(content, media_type="application/json", headers=headers)


def _render(outputs: Mapping[str, Any], by_row: bool) -> bytes:
    return json_tensors.to_json(json_tensors.answer(outputs, by_row))


async def _beside(at_once: bool, function: Any, *args: Any) -> Any:
    """Calls a function, in a thread if it may take long."""
    if at_once:
        return function(*args)
    return await asyncio.get_running_loop().run_in_executor(None, function, *args)


def _too_large() -> RequestError:
    return RequestError(
        Status.INVALID_ARGUMENT, f"The body is larger than {MAX_BODY >> 20} MiB", 413
    )
