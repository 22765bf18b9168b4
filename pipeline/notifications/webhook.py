"""Webhooks that take the JSON of Slack.

Slack shows the blocks, and Mattermost and others the `text`, as Markdown. Text from
data stands there in a code block and without the characters that end one, so that it
can neither format the message nor call people (`@here`, `<!channel>`).
"""

from __future__ import annotations

import email.utils
import http.client
import json
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from pipeline.notifications.delivery import NotDeliveredError
from pipeline.notifications.message import Message

# Limits of Slack: characters of a title and of a paragraph.
_MAX_TITLE: Final = 150
_MAX_PARAGRAPH: Final = 3000
_URL: Final = re.compile(r"https?://[^\s/?#@]+([/?][^\s#]*)?")
_BUSY: Final = 429
_SERVER_ERRORS: Final = range(500, 600)
_REDIRECTS: Final = range(300, 400)
_MAX_EXCERPT: Final = 200  # bytes of an answer that are shown
# Characters with a meaning in the Markdown of a title; `@` calls people.
_FORMATTING: Final = re.compile(r"[*_~`#\[\]()|@!\\]")


def payload(message: Message) -> dict[str, Any]:
    """The JSON of a message."""
    title, *body = message.text().split("\n")
    code = "\n".join(body).strip().replace("`", "'")
    plain = _FORMATTING.sub(" ", title)
    return {
        "text": f"{_escaped(plain)}\n```\n{_escaped(code)}\n```",
        "blocks": [
            {"type": "header", "text": _plain(title, _MAX_TITLE)},
            *(
                {"type": "section", "text": _plain("\n".join(lines), _MAX_PARAGRAPH)}
                for lines in message.paragraphs
            ),
        ],
    }


def _plain(text: str, longest: int) -> dict[str, Any]:
    if len(text) > longest:
        text = f"{text[: longest - 3]}..."
    return {"type": "plain_text", "text": text, "emoji": False}


def _escaped(text: str) -> str:
    """What Slack wants: `<` would begin a link or a call, and `&` an entity."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def post(url: str, content: Mapping[str, Any], seconds: float) -> str:
    """Sends JSON to a webhook, once.

    Args:
      url: The address, which is a secret.
      content: The JSON.
      seconds: Longest wait for the connection, and for the next bytes.

    Returns:
      The status of the answer.

    Raises:
      NotDeliveredError: It was not accepted.
    """
    if not _is_address(url):
        raise NotDeliveredError(
            "its variable holds no address like https://host/path, with no user and "
            "password in it"
        )
    request = urllib.request.Request(
        url,
        data=json.dumps(content).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "two-tower"},
        method="POST",
    )
    try:
        with _opener(url).open(request, timeout=max(seconds, 0.001)) as response:
            return f"{response.status} {response.reason}"
    except urllib.error.HTTPError as error:
        raise _refused(error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(error) from error


def _is_address(url: str) -> bool:
    try:
        urllib.parse.urlsplit(url).port  # noqa: B018 - it raises for what is no number
    except ValueError:
        return False
    return url.isascii() and _URL.fullmatch(url) is not None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the address may be known to its own server alone."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


def _opener(url: str) -> urllib.request.OpenerDirector:
    host = urllib.parse.urlsplit(url).hostname or ""
    is_local = host in ("localhost", "::1") or host.startswith("127.")
    return urllib.request.build_opener(
        _NoRedirects,
        # None for the proxies of the environment; this machine needs none.
        urllib.request.ProxyHandler({} if is_local else None),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
    )


def _refused(error: urllib.error.HTTPError) -> NotDeliveredError:
    text = f"answered {error.code} {error.reason}"
    if error.code in _REDIRECTS:
        return NotDeliveredError(f"{text}: redirects are not followed")
    try:
        excerpt = error.read1(_MAX_EXCERPT).decode(errors="replace")
    except (OSError, http.client.HTTPException, ValueError):
        excerpt = ""
    finally:
        error.close()
    if excerpt.strip() and not excerpt.lstrip().startswith("<"):
        text = f"{text}: {excerpt}"
    if error.code == _BUSY or error.code in _SERVER_ERRORS:
        return NotDeliveredError(text, wait=_retry_after(error.headers))
    return NotDeliveredError(text)


def _retry_after(headers: Any) -> float:
    """Seconds after which a server wants the next attempt; 0 if it does not say."""
    value = str(headers.get("Retry-After") or "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        when = email.utils.parsedate_to_datetime(value)
        return max(when.timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError, OSError):
        return 0.0


def _unreachable(error: Exception) -> NotDeliveredError:
    """Why there was no answer; the text of the error may hold the address."""
    reason = getattr(error, "reason", None)
    cause = reason if isinstance(reason, Exception) else error
    match cause:
        case ssl.SSLCertVerificationError():
            text = f"its certificate is not trusted: {cause.verify_message}"
            return NotDeliveredError(text)
        case TimeoutError():
            return NotDeliveredError("no answer in time", wait=0.0)
        case socket.gaierror():
            return NotDeliveredError("the name of its host is not known", wait=0.0)
        case ssl.SSLError():
            return NotDeliveredError("no encrypted connection is possible")
        case OSError():
            text = cause.strerror or str(reason or "the connection failed")
            return NotDeliveredError(text, wait=0.0)
    return NotDeliveredError("the answer is not HTTP", wait=0.0)
