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

Request = Callable[..., Any]


def bounded(
    request: Request, *, timeout_seconds: float, retries: int, backoff_seconds: float
) -> Request:
    """Returns `request` of a urllib3 pool with bounded answers.

    Args:
      request: The method of the pool.
      timeout_seconds: Longest wait for the next bytes.
      retries: How often a read or a deletion is repeated whose answer breaks off.
      backoff_seconds: Wait before the first repetition; doubled each time.
    """
    from urllib3 import HTTPResponse
    from urllib3.exceptions import HTTPError

    def send(method: str, url: str, **kwargs: Any) -> HTTPResponse:
        for retry in range(retries + 1):
            response = request(method, url, **{**kwargs, "preload_content": False})
            try:
                content = _content_within(
                    timeout_seconds * _TOTAL_FACTOR, response, url
                )
                break
            except HTTPError:
                if method not in REPEATABLE or retry == retries:
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
    """Reads an answer to its end, and closes it.

    Raises:
      UserError: It is too large.
      HTTPError: It broke off.
    """
    # urllib3 1 does not check by default that the answer is complete.
    response.enforce_content_length = True
    content = bytearray()
    try:
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
