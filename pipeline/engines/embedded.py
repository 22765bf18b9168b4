"""Makes Beam's own runner notice that a worker is gone. Importing it imports Beam.

The runner reads a worker's answers in a thread, which ends with the connection. Those
who wait for an answer, or ask later, are not woken: the job of a worker that was killed
never ends.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from apache_beam.portability.api import beam_fn_api_pb2 as fn_api
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    ControlConnection,
    ControlFuture,
)

_ENDED: Final = "two_tower_ended"  # an attribute of a connection


@functools.cache
def end_jobs_of_lost_workers() -> None:
    """Fails what waits for the answer of a worker when its connection ends."""
    read, push = ControlConnection._read, ControlConnection.push

    def read_and_fail(self: ControlConnection) -> None:
        try:
            read(self)
        finally:  # after an orderly end nobody waits
            setattr(self, _ENDED, True)
            for future in list(self._futures_by_id.values()):
                _fail(future)

    def push_or_fail(self: ControlConnection, request: Any) -> ControlFuture | None:
        future = push(self, request)
        if future is not None and hasattr(self, _ENDED):
            _fail(future)
        return future

    ControlConnection._read = read_and_fail
    ControlConnection.push = push_or_fail


def _fail(future: ControlFuture) -> None:
    lost = fn_api.InstructionResponse(
        instruction_id=future.instruction_id, error="Worker disconnected"
    )
    future.set(lost)
