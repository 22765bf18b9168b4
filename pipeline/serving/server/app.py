"""The HTTP application."""

from __future__ import annotations

import logging
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from pipeline.serving.server.batching import Overloaded
from pipeline.serving.server.errors import RequestError
from pipeline.serving.server.metrics import Metrics
from pipeline.serving.server.models import ModelVersions
from pipeline.serving.server.predictor import Predictor
from pipeline.serving.server.rest import JsonResponse, RestApi

_LOG: Final = logging.getLogger(__name__)


def create_app(
    versions: ModelVersions, predictor: Predictor | None = None, demo: bool = False
) -> Starlette:
    """Returns the application.

    Args:
      versions: The versions of the model, at least one of them loaded.
      predictor: Answers; by default one of its own.
      demo: Whether to offer the demo page, which shows what users have watched.
    """
    predictor = predictor or Predictor(versions)
    routes: list[BaseRoute] = [
        Route(
            "/v1/models/{path:path}", RestApi(predictor).handle, methods=["GET", "POST"]
        ),
        Route("/healthz", _alive),
        Route("/readyz", _Ready(versions).handle),
        Route("/monitoring/prometheus/metrics", _Scrape(predictor.metrics).handle),
    ]
    if demo:
        from pipeline.serving.demo import routes as demo_routes

        routes += demo_routes(versions)
    app = Starlette(
        routes=routes,
        exception_handlers={
            RequestError: _refused,
            HTTPException: _no_such_path,
            Exception: _failed,
        },
    )
    app.state.predictor = predictor
    return app


async def _alive(request: Request) -> Response:
    return PlainTextResponse("ok\n")


class _Ready:
    def __init__(self, versions: ModelVersions) -> None:
        self._versions = versions

    async def handle(self, request: Request) -> Response:
        if self._versions.loaded():
            return PlainTextResponse("ok\n")
        return PlainTextResponse("no version is loaded\n", 503)


class _Scrape:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def handle(self, request: Request) -> Response:
        return Response(self._metrics.text(), media_type=CONTENT_TYPE_LATEST)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    headers = {}
    if isinstance(error, Overloaded):
        headers["Retry-After"] = str(error.retry_after)
    return JsonResponse({"error": error.message}, error.http_status, headers)


async def _no_such_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{error.detail}: {request.method} {request.url.path}"
    return JsonResponse({"error": message}, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    _LOG.error("A request failed: %s", request.url.path, exc_info=error)
    return JsonResponse({"error": "Internal error; the server's log has it."}, 500)
