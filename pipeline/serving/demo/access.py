"""Who may read the page: browsers that call the server by its own name."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Nobody else may store, frame, read or guess the type of what the page answers.
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class OwnHosts:
    """Refuses requests to foreign names, and adds headers for the browser.

    A page of somebody else may let its own name point to this machine (DNS rebinding),
    and would then be allowed to read what the server answers. Such a request has that
    name as its `Host`. An address cannot be rebound, and `localhost` is not theirs.

    Args:
      app: What answers.
      hosts: Names that are ours, besides `localhost` and the name of this machine.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str] = ()) -> None:
        self._app = app
        own = {"localhost", socket.gethostname(), *hosts}
        self._hosts = {host.lower() for host in own}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, if it is to us."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        app = (
            self._app
            if self._is_own(Headers(scope=scope).get("host", ""))
            else _FOREIGN
        )
        await app(scope, receive, send_with_headers)

    def _is_own(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name.lower().removesuffix(".") in self._hosts
        return True


_FOREIGN = PlainTextResponse(
    "The demo page answers at the address of the server, at localhost and at the "
    "names that it was given.\n",
    421,
)
