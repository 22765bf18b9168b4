"""Downloads over HTTPS that notice within seconds that nobody answers."""

from __future__ import annotations

import http.client
import queue
import shutil
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

# To connect, and between two pieces of the answer.
TIMEOUT_SECONDS: Final = 5.0


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
            answers.put(urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS))
        except Exception as e:
            answers.put(e)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=TIMEOUT_SECONDS + 1)
    except queue.Empty:
        raise UnreachableError(f"no answer in {TIMEOUT_SECONDS:g} seconds") from None
    if isinstance(answer, Exception):
        cause = getattr(answer, "reason", None) or answer
        raise UnreachableError(str(cause)) from answer
    return answer


def download(url: str, path: Path) -> None:
    """Writes what `url` holds to `path`.

    Raises:
      UnreachableError: Nobody answered, or the connection broke off; `path` is gone.
    """
    response = open_url(url)
    try:
        with response, open(path, "wb") as out:
            shutil.copyfileobj(response, out, 1 << 20)
        expected = response.headers.get("Content-Length")
        if expected is not None and path.stat().st_size != int(expected):
            raise UnreachableError(
                f"the connection broke off after {path.stat().st_size} of {expected} "
                "bytes"
            )
    except (OSError, http.client.HTTPException) as e:
        path.unlink(missing_ok=True)
        raise UnreachableError(str(e)) from e
    except UnreachableError:
        path.unlink(missing_ok=True)
        raise


def published_md5(url: str) -> str:
    """The checksum that GroupLens publishes beside an archive.

    Raises:
      UnreachableError: Nobody answered.
    """
    with open_url(url + ".md5") as response:
        # "MD5 (ml-latest.zip) = <digest>" or "<digest>  ml-latest.zip".
        words = response.read(4096).decode("ascii", "replace").split()
    return next((word for word in words if len(word) == 32), "")  # noqa: PLR2004 - md5
