"""Runs TensorFlow in threads beside the event loop, requests that wait together.

A thread that becomes free takes all waiting requests that fit into one batch. So nobody
waits for others to come: one request alone runs at once, and under load the batches
grow by themselves. TensorFlow takes 32 rows in about four times the time of one.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pipeline.serving.server.errors import RequestError, Status
from pipeline.serving.server.loaded import Array, LoadedVersion

_MAX_ROWS: Final = 32  # of a batch of several requests
_RETRY_AFTER: Final = 1  # seconds

Outputs = dict[str, Array]


class Overloaded(RequestError):
    """More requests wait than are allowed.

    Attributes:
      retry_after: Seconds after which to ask again.
    """

    retry_after = _RETRY_AFTER

    def __init__(self, limit: int) -> None:
        message = f"{limit} requests are waiting, which is the limit; ask again later"
        super().__init__(Status.UNAVAILABLE, message)


@dataclass(eq=False)
class _Call:
    version: LoadedVersion
    signature: str
    inputs: Mapping[str, Array]
    future: asyncio.Future[Outputs]
    rows: int
    key: Hashable = field(default=None)


class Batcher:
    """Calls signatures in threads. All methods belong to the thread of the event loop.

    Args:
      workers: Number of threads.
      max_waiting: Most requests that wait for a thread.

    Attributes:
      waiting: Number of requests that wait now.
      batches: Number of calls of TensorFlow.
    """

    def __init__(self, workers: int, max_waiting: int) -> None:
        self._free = workers
        self._limit = max_waiting
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="tensorflow")
        self._queue: deque[_Call] = deque()
        self.batches = 0

    @property
    def waiting(self) -> int:
        """Number of requests that wait now."""
        return len(self._queue)

    async def call(
        self,
        version: LoadedVersion,
        signature: str,
        inputs: Mapping[str, Array],
    ) -> Outputs:
        """Calls a signature of a version; see `LoadedVersion.call`.

        Raises:
          RequestError: It refuses the inputs.
          Overloaded: Too many requests wait.
        """
        if len(self._queue) >= self._limit:
            raise Overloaded(self._limit)
        future: asyncio.Future[Outputs] = asyncio.get_running_loop().create_future()
        call = _Call(version, signature, inputs, future, *_shape(inputs))
        self._queue.append(call)
        self._start()
        return await future

    def close(self) -> None:
        """Ends the threads after the calls that run."""
        self._pool.shutdown()

    def _start(self) -> None:
        """Gives waiting calls to free threads."""
        loop = asyncio.get_running_loop()
        while self._free and self._queue:
            self._free -= 1
            self.batches += 1
            batch = self._next_batch()
            running = loop.run_in_executor(self._pool, _run, batch)
            running.add_done_callback(functools.partial(self._end, batch))

    def _end(
        self,
        batch: Sequence[_Call],
        done: asyncio.Future[list[Outputs | BaseException]],
    ) -> None:
        self._free += 1
        failure = done.exception()
        results = [failure] * len(batch) if failure else done.result()
        for call, result in zip(batch, results, strict=True):
            if call.future.done():
                pass  # its client has gone
            elif isinstance(result, BaseException):
                call.future.set_exception(result)
            else:
                call.future.set_result(result)
        self._start()

    def _next_batch(self) -> list[_Call]:
        """Takes the oldest call and those that can run with it."""
        first = self._queue.popleft()
        batch, rows, others = [first], first.rows, []
        limit = min(_MAX_ROWS, first.version.info.max_batch)
        while self._queue and rows < limit:
            call = self._queue.popleft()
            if _fit(first, call) and rows + call.rows <= limit:
                batch.append(call)
                rows += call.rows
            else:
                others.append(call)
        self._queue.extendleft(reversed(others))
        return batch


def _shape(inputs: Mapping[str, Array]) -> tuple[int, Hashable]:
    """Returns the number of rows, and what must be the same for calls to fit.

    The second is None, which fits nothing, where there are no rows to count.
    """
    arrays = [inputs[name] for name in sorted(inputs)]
    sizes = {array.shape[0] if array.ndim else -1 for array in arrays}
    if len(sizes) != 1 or sizes & {-1, 0}:
        return 1, None
    return sizes.pop(), tuple(array.shape[1:] for array in arrays)


def _fit(one: _Call, other: _Call) -> bool:
    return (
        one.key is not None
        and one.key == other.key
        and one.version is other.version
        and one.signature == other.signature
        and one.inputs.keys() == other.inputs.keys()
    )


def _run(batch: Sequence[_Call]) -> list[Outputs | BaseException]:
    """Runs calls together; where one is refused, each alone."""
    first = batch[0]
    if len(batch) > 1:
        joined = {
            name: np.concatenate([call.inputs[name] for call in batch])
            for name in first.inputs
        }
        try:
            outputs = first.version.call(first.signature, joined)
            return list(_split(batch, outputs))
        except RequestError:
            pass
    return [_alone(call) for call in batch]


def _alone(call: _Call) -> Outputs | BaseException:
    try:
        return call.version.call(call.signature, call.inputs)
    except Exception as error:
        return error


def _split(batch: Sequence[_Call], outputs: Outputs) -> list[Outputs]:
    """Returns the rows of each call, as wide as it would be alone."""
    found, start = [], 0
    for call in batch:
        rows = slice(start, start + call.rows)
        width = int(call.inputs["k"].max()) if "k" in call.inputs else None
        found.append(
            {
                name: array[rows, :width] if array.ndim > 1 else array[rows]
                for name, array in outputs.items()
            }
        )
        start += call.rows
    return found
