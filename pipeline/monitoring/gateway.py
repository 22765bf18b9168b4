"""Pushes metrics to a Prometheus push gateway."""

from __future__ import annotations

import base64
import os
import urllib.error
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pipeline.monitoring.config import PushGatewayConfig
from trainer.errors import UserError

if TYPE_CHECKING:
    from prometheus_client.registry import CollectorRegistry

_LONGEST_ANSWER: Final = 300  # characters


def push(
    registry: CollectorRegistry, pipeline: str, gateway: PushGatewayConfig
) -> None:
    """Replaces the pipeline's group in a push gateway.

    Raises:
      UserError: A variable is not set.
      OSError: It cannot be reached, or refuses the metrics.
    """
    from prometheus_client.exposition import default_handler, push_to_gateway

    authorization = _authorization(gateway)

    def send(
        url: str, method: str, timeout: float | None, headers: Any, data: bytes
    ) -> Callable[[], None]:
        return default_handler(url, method, timeout, [*headers, *authorization], data)

    try:
        push_to_gateway(
            gateway.url or "",
            job=gateway.job,
            registry=registry,
            grouping_key={**gateway.labels, "pipeline": pipeline},
            timeout=gateway.timeout_seconds,
            handler=send,
        )
    except urllib.error.HTTPError as error:
        with error:
            reason = error.read(_LONGEST_ANSWER).decode("utf-8", "replace").strip()
        raise OSError(f"it answered {error.code} {error.reason}: {reason}") from error


def _authorization(gateway: PushGatewayConfig) -> list[tuple[str, str]]:
    """Returns the header with the credentials, if there are any."""
    if gateway.token_env:
        return [("Authorization", f"Bearer {_secret(gateway.token_env)}")]
    if gateway.user_env and gateway.password_env:
        user, password = _secret(gateway.user_env), _secret(gateway.password_env)
        text = base64.b64encode(f"{user}:{password}".encode()).decode()
        return [("Authorization", f"Basic {text}")]
    return []


def _secret(variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise UserError(f"the environment variable {variable} is not set", "Set it.")
    return value
