"""Answers of a server, bounded in size and in time.

`kfp_server_api` reads every answer whole: one without end, or a small one that inflates
to gigabytes, would use up the memory of this machine. Timeouts of sockets do not end an
answer of which a byte arrives now and then.
"""

from __future__ import annotations

import io
import queue
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any, Final

from trainer.errors import UserError

# A page of a listing has some 100 kB, and a compiled pipeline 32 MiB at most.
MAX_BYTES: Final = 64 << 20
_CHUNK_BYTES: Final = 1 << 14
# The longest answer, as a multiple of the longest wait for its next bytes.
_TOTAL_FACTOR: Final = 10
# What may be sent again without doing harm.
REPEATABLE: Final = ("GET", "DELETE")

_MAX_REDIRECTS: Final = 3
_REPEATED_STATUS: Final = (429, *range(500, 600))

Request = Callable[..., Any]


def bounded(
    request: Request, *, timeout_seconds: float, retries: int, backoff_seconds: float
) -> Request:
    """Returns `request` of a urllib3 pool with bounded answers.

    urllib3 reads answers that it retries, or that redirect, to their ends: hence
    neither is left to it.

    Args:
      request: The method of the pool.
      timeout_seconds: Longest wait for the next bytes.
      retries: How often a read or a deletion is repeated whose answer breaks off, or is
        that of a server that is busy or failed.
      backoff_seconds: Wait before the first repetition; doubled each time.
    """
    from urllib3 import HTTPResponse
    from urllib3.exceptions import IncompleteRead, ProtocolError, ReadTimeoutError

    def send(method: str, url: str, **kwargs: Any) -> HTTPResponse:
        kwargs |= {"preload_content": False, "redirect": False}
        for retry in range(retries + 1):
            may_repeat = method in REPEATABLE and retry < retries
            try:
                response = _following(request, method, url, kwargs)
                content = _content_within(
                    timeout_seconds * _TOTAL_FACTOR, response, url
                )
                if not may_repeat or response.status not in _REPEATED_STATUS:
                    break
            except (IncompleteRead, ProtocolError, ReadTimeoutError):
                if not may_repeat:
                    raise
            time.sleep(backoff_seconds * 2**retry)
        # JSON is UTF-8, whatever the answer's header says; errors may be anything.
        text = content.decode("utf-8", errors="replace")
        return HTTPResponse(
            body=io.BytesIO(text.encode()),
            headers={"Content-Type": "application/json"},
            status=response.status,
            reason=response.reason,
        )

    return send


def _following(request: Request, method: str, url: str, kwargs: dict[str, Any]) -> Any:
    """Sends a request, and follows redirects without reading their bodies.

    Returns:
      The response, not read yet; after too many redirects the last of them.
    """
    response = request(method, url, **kwargs)
    for _ in range(_MAX_REDIRECTS):
        location = response.get_redirect_location()
        target = urllib.parse.urljoin(url, location or "")
        if not location or (url.startswith("https:") and target.startswith("http:")):
            break
        response.close()
        if _origin(target) != _origin(url):
            # The token is for the server that it was given for.
            headers = kwargs["headers"].items()
            kept = {key: v for key, v in headers if key.lower() != "authorization"}
            kwargs = kwargs | {"headers": kept}
        if method == "GET":
            kwargs = {key: v for key, v in kwargs.items() if key != "fields"}
        url = target
        response = request(method, url, **kwargs)
    return response


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


def _content_within(seconds: float, response: Any, url: str) -> bytes:
    """Reads an answer in a thread, and waits for it no longer than given.

    A read of a socket cannot be ended from outside; the thread ends with the process.

    Raises:
      UserError: It is too large.
      HTTPError: It broke off, or took longer.
    """
    from urllib3.exceptions import ProtocolError

    outcome: queue.Queue[bytes | Exception] = queue.Queue()

    def run() -> None:
        try:
            outcome.put(_content(response, url))
        except Exception as error:
            outcome.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        found = outcome.get(timeout=seconds)
    except queue.Empty:
        raise ProtocolError(f"not complete after {seconds:g} seconds") from None
    if isinstance(found, Exception):
        raise found
    return found


def _content(response: Any, url: str) -> bytes:
    """Reads an answer to its end, unless it is a redirect, and closes it.

    Raises:
      UserError: It is too large.
      HTTPError: It broke off.
    """
    # urllib3 1 does not check by default that the answer is complete.
    response.enforce_content_length = True
    content = bytearray()
    try:
        if response.get_redirect_location():
            return b""
        for chunk in response.stream(_CHUNK_BYTES, decode_content=True):
            content += chunk
            if len(content) > MAX_BYTES:
                raise UserError(
                    f"The answer of {url.partition('?')[0]} is larger than "
                    f"{MAX_BYTES:,} bytes",
                    "Check --endpoint.",
                )
    finally:
        response.close()
    return bytes(content)
