"""Client of a model server, over TensorFlow Serving's REST API; without TensorFlow."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pipeline.serving.client import Model, ModelInfo
from trainer.errors import UsageError, UserError
from trainer.serving_contract import Signature

_TIMEOUT: Final = 30.0  # seconds
_PROBE_TIMEOUT: Final = 1.0
_OK: Final = 200


class ServedModel(Model):
    """A model behind a model server, `two-tower serve` or TensorFlow Serving.

    Args:
      url: Of the server, such as `http://127.0.0.1:8501`.
      model: Name of the model.
      info: Description of the model; None where it is not known.

    Raises:
      UsageError: The URL is malformed.
    """

    def __init__(self, url: str, model: str, info: ModelInfo | None = None) -> None:
        super().__init__(info)
        parts = urlsplit(url)
        try:
            self._port, host = parts.port, parts.hostname
        except ValueError:
            host = None
        if parts.scheme not in ("http", "https") or not host:
            raise UsageError(
                f"--server is {url!r}", "Give a URL such as http://127.0.0.1:8501."
            )
        self._host, self._is_tls = host, parts.scheme == "https"
        self._url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._path = f"{parts.path.rstrip('/')}/v1/models/{model}"
        self._version = ""

    @property
    def name(self) -> str:
        """The URL, with the version that answered last, if it named itself."""
        version = f"/versions/{self._version}" if self._version else ""
        return (
            f"{self._url.removesuffix(urlsplit(self._url).path)}{self._path}{version}"
        )

    def is_there(self) -> bool:
        """Whether the server answers that it has the model."""
        try:
            status, content = self._request("GET", self._path, None, _PROBE_TIMEOUT)
        except (OSError, http.client.HTTPException, ValueError):
            return False
        return status == _OK and "model_version_status" in content

    def call(self, signature: Signature, **inputs: Any) -> dict[str, list[Any]]:
        """Calls a signature; see the base class."""
        columns = {
            name: _with_json(inputs[name]) if name in inputs else _absent(tensor)
            for name, tensor in signature.inputs.items()
        }
        body = {"signature_name": signature.name, "inputs": columns}
        remedy = "Ask without --server, or start `two-tower serve` anew."
        try:
            status, content = self._request(
                "POST", f"{self._path}:predict", json.dumps(body), _TIMEOUT
            )
        except (OSError, http.client.HTTPException, ValueError) as error:
            cause = str(error) or type(error).__name__
            message = f"The model server {self._url} does not answer: {cause}"
            raise UserError(message, remedy) from error
        if status != _OK:
            cause = str(content.get("error", f"HTTP status {status}"))
            raise UserError(
                f"The model server {self._url} refuses: {cause}",
                "Ask for something else."
                if status < http.client.INTERNAL_SERVER_ERROR
                else remedy,
            )
        outputs = content["outputs"]
        if len(signature.outputs) == 1:  # then it comes without its name
            return {next(iter(signature.outputs)): outputs}
        return dict(outputs)

    def _request(
        self, method: str, path: str, body: str | None, timeout: float
    ) -> tuple[int, Mapping[str, Any]]:
        """Returns status and JSON of an answer.

        Raises:
          OSError, http.client.HTTPException, ValueError: There is none.
        """
        kind = (
            http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        )
        with contextlib.closing(kind(self._host, self._port, timeout=timeout)) as asked:
            asked.request(method, path, body, {"Content-Type": "application/json"})
            answer = asked.getresponse()
            self._version = answer.headers.get("X-Model-Version") or self._version
            content = json.loads(answer.read())
        if not isinstance(content, dict):
            raise ValueError("the answer is no JSON object")
        return answer.status, content


def _with_json(value: Any) -> Any:
    """Writes ids that were typed and are no UTF-8 as base64."""
    if isinstance(value, list):
        return [_with_json(item) for item in value]
    if isinstance(value, str) and not _is_unicode(value):
        content = value.encode(errors="surrogateescape")
        return {"b64": base64.b64encode(content).decode()}
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _absent(tensor: Any) -> Any:
    """One row that says nothing."""
    return [tensor.absent] if len(tensor.dims) == 1 else [[]]
