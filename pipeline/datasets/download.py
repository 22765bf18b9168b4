"""Downloads with pooch, bounded in time and size.

pooch streams a file to a temporary name and renames it when it is complete. Added to
it: a download fails within seconds if nobody answers (timeouts of sockets do not cover
the name server), a connection that breaks off is reported as such, no answer is larger
than expected, and an encrypted address never leads to one that is not.
"""

from __future__ import annotations

import errno
import logging
import queue
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pooch

from trainer.errors import UserError

# Called with one line of text about progress.
Report = Callable[[str], None]

# Until the server begins to answer, resolution of its name included.
TIMEOUT_SECONDS: Final = 5.0
# Between two pieces of the answer.
_STALL_SECONDS: Final = 30.0
# For the whole answer: a server that sends a byte now and then is no server.
_TOTAL_SECONDS: Final = 6 * 3600.0
# The largest archive of MovieLens has 335 MB.
MAX_BYTES: Final = 2 << 30
_MAX_SMALL_BYTES: Final = 1 << 16
_CHUNK_BYTES: Final = 1 << 20
_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class UnreachableError(Exception):
    """The server did not answer, refused to, or the connection broke off."""


def download(
    url: str,
    path: Path,
    report: Report = lambda _: None,
    *,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Downloads `url` to `path`, through the user's proxy if one is set.

    If it fails, there is no file at `path`.

    Args:
      url: The address, HTTP or HTTPS.
      path: The file to write, in a folder that exists.
      report: Called with the address and the size when the server answers.
      max_bytes: The largest answer that is taken.

    Raises:
      UnreachableError: The server did not answer in time, answered with an error, or
        the connection broke off.
      UserError: The disk is full, the answer is too large, or the server redirects from
        HTTPS to HTTP.
    """
    # The size when the server answers, then None; or the exception that ended it.
    events: queue.Queue[str | None | Exception] = queue.Queue()
    arguments = (url, path, events, max_bytes)
    threading.Thread(target=_retrieve, args=arguments, daemon=True).start()
    try:
        event = events.get(timeout=TIMEOUT_SECONDS)
    except queue.Empty:
        raise UnreachableError(f"no answer in {TIMEOUT_SECONDS:g} seconds") from None
    size, prefix = "of unknown size", ""
    if isinstance(event, str):
        size = f"{int(event) / 1e6:,.0f} MB" if event else size
        report(f"downloading {url}, {size}")
        try:
            event = events.get(timeout=_TOTAL_SECONDS)
        except queue.Empty:
            hours = f"{_TOTAL_SECONDS / 3600:g} hours"
            raise UnreachableError(f"not complete after {hours}") from None
        prefix = "the connection broke off: "
    if isinstance(event, UserError):
        raise event
    if isinstance(event, OSError) and event.errno in _DISK_FULL:
        raise UserError(
            f"the disk of {path.parent.parent} is full",
            f"Make room (the archive: {size}), or choose another --workspace.",
        ) from event
    if isinstance(event, Exception):
        raise UnreachableError(f"{prefix}{_root_cause(event)}") from event


def _retrieve(
    url: str,
    path: Path,
    events: queue.Queue[str | None | Exception],
    max_bytes: int,
) -> None:
    def on_answer(response: Any, **_: Any) -> None:
        if response.is_redirect:
            _check_redirect(response.url, response.headers["Location"])
            _bound_size(response, _MAX_SMALL_BYTES)  # requests reads it, too
        elif response.ok:
            _bound_size(response, max_bytes)
            # urllib3 1 does not check by default that the body is complete.
            response.raw.enforce_content_length = True
            events.put(_declared_size(response))

    pooch.get_logger().setLevel(logging.WARNING)
    downloader = pooch.HTTPDownloader(
        chunk_size=_CHUNK_BYTES, timeout=_STALL_SECONDS, hooks={"response": on_answer}
    )
    try:
        pooch.retrieve(url, None, path.name, path.parent, downloader=downloader)
        events.put(None)
    except Exception as e:
        events.put(e)


def _check_redirect(url: str, location: str) -> None:
    """Rejects a redirect that would give up the encryption."""
    target = urllib.parse.urljoin(url, location)
    if url.startswith("https:") and not target.startswith("https:"):
        raise UserError(
            f"{url} redirects to {target!r}, which is not encrypted",
            "Check the network's proxy, or give --data-dir with the edition's files.",
        )


def _declared_size(response: Any) -> str:
    """Returns the size that the server declares, in bytes; empty if it is no number."""
    size = str(response.headers.get("Content-Length", ""))
    return size if re.fullmatch("[0-9]{1,18}", size) else ""


def _bound_size(response: Any, max_bytes: int) -> None:
    """Makes reading the body fail once it is too large, whatever its header says."""
    too_large = UserError(
        f"{response.url} is larger than {max_bytes:,} bytes, which no file of "
        "MovieLens is",
        "Check the address and the network's proxy.",
    )
    if int(_declared_size(response) or 0) > max_bytes:
        raise too_large
    unbounded = response.iter_content

    def bounded(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        received = 0
        for chunk in unbounded(*args, **kwargs):
            received += len(chunk)
            if received > max_bytes:
                raise too_large
            yield chunk

    response.iter_content = bounded


def _root_cause(error: BaseException) -> BaseException:
    """Returns the first of a chain, such as "Connection refused".

    requests wraps the error of urllib3, which wraps that of the socket.
    """
    context = None if error.__suppress_context__ else error.__context__
    cause = error.__cause__ or context
    return error if cause is None else _root_cause(cause)


def published_md5(url: str, scratch: Path) -> str:
    """Returns the checksum that GroupLens publishes beside the archive at `url`.

    Raises:
      UnreachableError: The server cannot be reached.
    """
    path = scratch / "md5"
    download(url + ".md5", path, max_bytes=_MAX_SMALL_BYTES)
    # "MD5 (ml-latest.zip) = <digest>" or "<digest>  ml-latest.zip".
    words = path.read_text("ascii", "replace").split()
    return next((word for word in words if len(word) == 32), "")  # noqa: PLR2004 - md5
