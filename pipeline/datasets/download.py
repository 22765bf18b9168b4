"""Downloads over HTTPS that notice within seconds that nobody answers."""

from __future__ import annotations

import errno
import http.client
import queue
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

from trainer.errors import UserError

Say = Callable[[str], None]

# Until the server begins to answer.
TIMEOUT_SECONDS: Final = 5.0
# Between two pieces of the answer.
_STALL_SECONDS: Final = 30.0
_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class UnreachableError(Exception):
    """The server did not answer, or the connection broke off."""


def open_url(url: str) -> http.client.HTTPResponse:
    """Opens `url`, through the user's proxy where one is set.

    The wait is bounded as a whole: a name server that does not answer would else hold
    the caller up for longer than any socket's timeout.

    Raises:
      UnreachableError: Nobody answered in time, or with an error.
    """
    answers: queue.Queue[http.client.HTTPResponse | Exception] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=_STALL_SECONDS))
        except Exception as e:
            answers.put(e)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=TIMEOUT_SECONDS)
    except queue.Empty:
        raise UnreachableError(f"no answer in {TIMEOUT_SECONDS:g} seconds") from None
    if isinstance(answer, Exception):
        cause = getattr(answer, "reason", None) or answer
        raise UnreachableError(str(cause)) from answer
    return answer


def download(url: str, path: Path, say: Say = lambda _: None) -> None:
    """Writes what `url` holds to `path`, or leaves nothing there.

    Args:
      url: What to get.
      path: The file to write.
      say: Is told in one line what is downloaded, and how large it is.

    Raises:
      UnreachableError: Nobody answered, or the connection broke off.
      UserError: The disk is full.
    """
    response = open_url(url)
    expected = response.headers.get("Content-Length")
    size = f"{int(expected) / 1e6:,.0f} MB" if expected else "of unknown size"
    say(f"downloading {url}, {size}")
    try:
        with response, open(path, "wb") as out:
            shutil.copyfileobj(response, out, 1 << 20)
        found = path.stat().st_size
        if expected is not None and found != int(expected):
            raise UnreachableError(
                f"the connection broke off after {found} of {expected} bytes"
            )
    except (OSError, http.client.HTTPException, UnreachableError) as e:
        path.unlink(missing_ok=True)
        if isinstance(e, OSError) and e.errno in _DISK_FULL:
            raise UserError(
                f"the disk of {path.parent.parent} is full",
                f"Make room (the archive: {size}), or choose another --workspace.",
            ) from e
        if isinstance(e, UnreachableError):
            raise
        raise UnreachableError(str(e)) from e


def published_md5(url: str) -> str:
    """The checksum that GroupLens publishes beside an archive.

    Raises:
      UnreachableError: Nobody answered.
    """
    with open_url(url + ".md5") as response:
        # "MD5 (ml-latest.zip) = <digest>" or "<digest>  ml-latest.zip".
        words = response.read(4096).decode("ascii", "replace").split()
    return next((word for word in words if len(word) == 32), "")  # noqa: PLR2004 - md5
