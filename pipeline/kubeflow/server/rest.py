"""Requests to the server: time-outs, retries and errors in one line.

Nothing is sent twice that could be done twice: a request that changes something is
repeated only where it surely was not received.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping
from typing import Any, Final

from pipeline.kubeflow.server.endpoint import Endpoint
from pipeline.kubeflow.server.rest_errors import (
    Unanswered,
    Unreachable,
    no_connection,
    no_kubeflow,
    refused,
)

Json = dict[str, Any]
_ATTEMPTS: Final = 4
_PAUSE_SECONDS: Final = 0.5  # doubled after each attempt


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect leads to a login page, and would take the token along."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Rest:
    """The v2beta1 API of one server."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout_seconds: float = 30,
        pause_seconds: float = _PAUSE_SECONDS,
    ) -> None:
        """Makes the client; nothing is sent yet.

        Args:
          endpoint: The server.
          timeout_seconds: How long to wait for a connection or for the next bytes.
          pause_seconds: Wait before the first retry.
        """
        self.endpoint = endpoint
        self._timeout = timeout_seconds
        self._pause = pause_seconds
        handlers: list[Any] = [_NoRedirect()]
        if endpoint.tls is not None:
            handlers.append(urllib.request.HTTPSHandler(context=endpoint.tls))
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, path: str, **query: str) -> Json:
        """Reads; repeated after every kind of failure that may pass."""
        return self._retried(self._request("GET", path, query), safe=True)

    def post(self, path: str, body: Json, **query: str) -> Json:
        """Changes something.

        Raises:
          Unanswered: It is not known whether that was done.
        """
        request = self._request("POST", path, query, json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        return self._retried(request, safe=False)

    def upload(self, path: str, filename: str, content: bytes, **query: str) -> Json:
        """Sends a file as a form, as the upload of pipelines wants it.

        Raises:
          Unanswered: It is not known whether that was done.
        """
        mark = uuid.uuid4().hex
        head = (
            f"--{mark}\r\nContent-Disposition: form-data; "
            f'name="uploadfile"; filename="{filename}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + content + f"\r\n--{mark}--\r\n".encode()
        request = self._request("POST", path, query, body)
        request.add_header("Content-Type", f"multipart/form-data; boundary={mark}")
        return self._retried(request, safe=False)

    def delete(self, path: str) -> None:
        """Deletes; doing it twice is doing it once."""
        self._retried(self._request("DELETE", path, {}), safe=True)

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | None = None,
    ) -> urllib.request.Request:
        url = f"{self.endpoint.url}/apis/v2beta1/{path}"
        if query:
            url += "?" + urllib.parse.urlencode(query)
        request = urllib.request.Request(url, data=body, method=method)
        request.add_header("Accept", "application/json")
        if self.endpoint.token is not None:
            # Not sent on to where a redirect would lead.
            request.add_unredirected_header(
                "Authorization", f"Bearer {self.endpoint.token}"
            )
        return request

    def _retried(self, request: urllib.request.Request, *, safe: bool) -> Json:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._send(request)
            except Unreachable:
                if attempt == _ATTEMPTS:
                    raise
            except Unanswered:
                if attempt == _ATTEMPTS or not safe:
                    raise
            time.sleep(self._pause * 2 ** (attempt - 1))
        raise AssertionError("unreachable")

    def _send(self, request: urllib.request.Request) -> Json:
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                text = response.read()
            content: Any = json.loads(text) if text.strip() else {}
        except urllib.error.HTTPError as error:
            raise refused(self.endpoint.url, error) from error
        except urllib.error.URLError as error:
            raise no_connection(self.endpoint.url, error.reason) from error
        except (http.client.HTTPException, OSError, ValueError) as error:
            reason = "in time" if isinstance(error, TimeoutError) else "whole"
            raise Unanswered(
                f"The server {self.endpoint.url} did not answer {reason}",
                "Try again; `two-tower schedule list` and the server's pages show what "
                "was done.",
            ) from error
        if not isinstance(content, dict):
            raise no_kubeflow(self.endpoint.url)
        return content
