"""The process of the server: its sockets, its end, and what it runs between."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import uvicorn

from pipeline.serving.tensorflow_alone import import_tensorflow
from trainer.errors import UserError

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from pipeline.serving.server.predictor import Predictor

_DRAIN_SECONDS: Final = 20
_BACKLOG: Final = 2048
_SWITCH_SECONDS: Final = 0.001


@dataclass(frozen=True)
class Listeners:
    """Where a server listens.

    Attributes:
      http: Bound socket.
      url: Of the HTTP server, for a client on this machine.
      grpc: Address of the gRPC server; None to have none.
    """

    http: socket.socket
    url: str
    grpc: str | None


def freeze_imports() -> None:
    """Imports TensorFlow, and spares the garbage collector all that was imported.

    It must come before a model is loaded: a model is full of reference cycles, and one
    that is frozen would stay in memory when another version has taken its place.
    """
    import_tensorflow()
    gc.collect()
    gc.freeze()


def bind(host: str, port: int, grpc_port: int | None) -> Listeners:
    """Binds the ports, before anything that takes time.

    Args:
      host: Name or address of an interface.
      port: Of HTTP; 0 for any that is free.
      grpc_port: Of gRPC; None to have none.

    Raises:
      UserError: A port is in use, or the address is not of this machine.
    """
    bound = _bound(host, port, "--port")
    address = None
    if grpc_port is not None:
        with _bound(host, grpc_port, "--grpc-port") as probe:
            address = f"{_in_url(host)}:{probe.getsockname()[1]}"
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"http://{_in_url(shown)}:{bound.getsockname()[1]}"
    return Listeners(bound, url, address)


def serve(
    app: Starlette,
    predictor: Predictor,
    listeners: Listeners,
    on_ready: Callable[[], None],
) -> None:
    """Answers requests until the process gets SIGTERM or SIGINT.

    Requests that have begun are then answered, for at most 20 seconds, new connections
    are refused, and impressions that are left are written.

    Args:
      app: The application.
      predictor: Answers; its versions are loaded.
      listeners: From `bind`.
      on_ready: Is called once requests are accepted.

    Raises:
      UserError: The gRPC port is in use.
    """
    # uvicorn raises the signal anew once it has ended; it must not end us then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    # The event loop waits less for threads that run Python, as loading a version does.
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        asyncio.run(_serve(app, predictor, listeners, on_ready))
    finally:
        predictor.close()  # first, since impressions would be lost
        predictor.versions.stop()


async def _serve(
    app: Starlette,
    predictor: Predictor,
    listeners: Listeners,
    on_ready: Callable[[], None],
) -> None:
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    grpc_server = None
    if listeners.grpc:
        from pipeline.serving.server.grpc_service import make_server

        try:
            grpc_server = make_server(predictor, listeners.grpc)
        except RuntimeError as error:
            raise _in_use("--grpc-port", listeners.grpc, str(error)) from error
        await grpc_server.start()
    server = _Server(config, on_ready)
    try:
        await server.serve(sockets=[listeners.http])
    finally:
        if grpc_server is not None:
            await grpc_server.stop(_DRAIN_SECONDS)


class _Server(uvicorn.Server):
    """Says when it has started."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and calls `on_ready`."""
        await super().startup(sockets)
        self._on_ready()


def _bound(host: str, port: int, option: str) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UserError(
            f"--host {host} is no address: {error.strerror}", "Give 127.0.0.1."
        ) from error
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError as error:
        found.close()
        shown = f"{_in_url(host)}:{port}"
        raise _in_use(option, shown, os.strerror(error.errno or 0)) from error
    return found


def _in_use(option: str, address: str, cause: str) -> UserError:
    return UserError(
        f"{option}: {address} cannot be listened on: {cause}",
        f"Stop what listens there, or give another port with {option}; 0 is any that "
        "is free.",
    )


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
