"""A pool of workers for Beam's external environment. Importing it imports Beam.

Beam's own pool (`worker_pool_main`) starts whatever `python` is first in PATH, reads
nothing of what its workers print, so that a worker blocks when the pipe is full, caches
no side input, and unpickles with Beam's default library. At its exit it starts a thread
to end each worker, which Python 3.12 refuses by then.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from types import FrameType
from typing import Any, ClassVar, Final

from apache_beam.portability.api import beam_fn_api_pb2 as fn_api
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer

from trainer.errors import UserError
from trainer.text import printable_handler

_LOG: Final = logging.getLogger(__name__)
_END_SECONDS: Final = 10.0  # until workers that go on are killed
_WORKER: Final = """\
import sys
from apache_beam.internal import pickler
from apache_beam.runners.worker.sdk_worker import SdkHarness
pickler.set_library("cloudpickle")
url, worker_id, cache_bytes = sys.argv[1:]
SdkHarness(url, worker_id=worker_id, state_cache_size=int(cache_bytes)).run()
"""


class WorkerPool(BeamFnExternalWorkerPoolServicer):
    """Starts workers with this interpreter; what they print is printed here."""

    cache_bytes = 100 << 20  # of side inputs, in each worker
    processes: ClassVar[dict[str, subprocess.Popen[bytes]]] = {}

    def __init__(self, *args: Any, **keys: Any) -> None:
        super().__init__(*args, **keys)
        self._worker_processes = self.processes

    def StartWorker(  # noqa: N802 - gRPC's name
        self, start_worker_request: Any, unused_context: Any
    ) -> Any:
        """Starts a process that asks an engine for work until the engine ends."""
        id_ = start_worker_request.worker_id
        url = start_worker_request.control_endpoint.url
        command = [sys.executable, "-c", _WORKER, url, id_, f"{self.cache_bytes}"]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,  # not descriptor 2, which the command line hides
                stderr=sys.stderr,
                env={"PYTHONWARNINGS": "ignore::FutureWarning", **os.environ},
            )
        except OSError:
            return fn_api.StartWorkerResponse(error=traceback.format_exc())
        self._worker_processes[id_] = process
        _LOG.info("Worker %s (process %d) works for %s", id_, process.pid, url)
        name = f"wait-{process.pid}"
        threading.Thread(
            target=self._wait, args=(id_, process), name=name, daemon=True
        ).start()
        return fn_api.StartWorkerResponse()

    def _wait(self, id_: str, process: subprocess.Popen[bytes]) -> None:
        """Logs how a worker ended, which nobody else notices."""
        code = process.wait()
        self._worker_processes.pop(id_, None)
        _LOG.log(
            logging.INFO if code in (0, -signal.SIGTERM) else logging.ERROR,
            "Worker %s ended with exit code %d",
            *(id_, code),
        )


def end_workers() -> None:
    """Ends all workers of this process."""
    started = [*WorkerPool.processes.values()]
    WorkerPool.processes.clear()  # else Beam would end them, too
    for process in started:
        process.terminate()
    deadline = time.monotonic() + _END_SECONDS
    for process in started:
        try:
            process.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            process.kill()


def serve(port: int) -> None:
    """Starts workers for whoever asks at a port, until SIGTERM or Ctrl-C.

    Raises:
      UserError: The port is taken.
    """
    _LOG.addHandler(printable_handler(sys.stderr))
    _LOG.setLevel(logging.INFO)
    _LOG.propagate = False

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    try:
        address, server = WorkerPool.start(use_process=True, port=port)
    except RuntimeError as error:
        raise UserError(
            f"Port {port} cannot be opened: {error}", "Give another --port."
        ) from error
    if not address.endswith(f":{port}"):
        server.stop(0)
        raise UserError(f"Port {port} is taken", "Give another --port.")
    _LOG.info("Listening at port %d with %s", port, sys.executable)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    finally:
        server.stop(0)
        end_workers()
