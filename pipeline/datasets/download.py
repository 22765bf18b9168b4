"""Downloads with pooch, bounded in time.

pooch streams a file to a temporary name and renames it when it is complete. Two things
are added to it: a download fails within seconds if nobody answers (timeouts of sockets
do not cover the name server), and a connection that breaks off is reported as such.
"""

from __future__ import annotations

import errno
import logging
import queue
import threading
from collections.abc import Callable
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
_CHUNK_BYTES: Final = 1 << 20
_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class UnreachableError(Exception):
    """The server did not answer, refused to, or the connection broke off."""


def download(url: str, path: Path, report: Report = lambda _: None) -> None:
    """Downloads `url` to `path`, through the user's proxy if one is set.

    If it fails, there is no file at `path`.

    Args:
      url: The address, HTTP or HTTPS.
      path: The file to write, in a folder that exists.
      report: Called with the address and the size when the server answers.

    Raises:
      UnreachableError: The server did not answer in time, answered with an error, or
        the connection broke off.
      UserError: The disk is full.
    """
    # The size when the server answers, then None; or the exception that ended it.
    events: queue.Queue[str | None | Exception] = queue.Queue()
    threading.Thread(target=_retrieve, args=(url, path, events), daemon=True).start()
    try:
        event = events.get(timeout=TIMEOUT_SECONDS)
    except queue.Empty:
        raise UnreachableError(f"no answer in {TIMEOUT_SECONDS:g} seconds") from None
    size, prefix = "of unknown size", ""
    if isinstance(event, str):
        size = f"{int(event) / 1e6:,.0f} MB" if event else size
        report(f"downloading {url}, {size}")
        event, prefix = events.get(), "the connection broke off: "
    if isinstance(event, OSError) and event.errno in _DISK_FULL:
        raise UserError(
            f"the disk of {path.parent.parent} is full",
            f"Make room (the archive: {size}), or choose another --workspace.",
        ) from event
    if isinstance(event, Exception):
        raise UnreachableError(f"{prefix}{_root_cause(event)}") from event


def _retrieve(
    url: str, path: Path, events: queue.Queue[str | None | Exception]
) -> None:
    def on_answer(response: Any, **_: Any) -> None:
        if response.ok and not response.is_redirect:
            # urllib3 1 does not check by default that the body is complete.
            response.raw.enforce_content_length = True
            events.put(response.headers.get("Content-Length", ""))

    pooch.get_logger().setLevel(logging.WARNING)
    downloader = pooch.HTTPDownloader(
        chunk_size=_CHUNK_BYTES, timeout=_STALL_SECONDS, hooks={"response": on_answer}
    )
    try:
        pooch.retrieve(url, None, path.name, path.parent, downloader=downloader)
        events.put(None)
    except Exception as e:
        events.put(e)


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
    download(url + ".md5", path)
    # "MD5 (ml-latest.zip) = <digest>" or "<digest>  ml-latest.zip".
    words = path.read_text("ascii", "replace").split()
    return next((word for word in words if len(word) == 32), "")  # noqa: PLR2004 - md5
