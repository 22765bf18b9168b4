"""Surrounds a step that an engine runs: checks before it, a watch during it.

Without it a step waits forever for a slot, or for a cluster that is gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from pipeline.engines import cluster, failures
from pipeline.engines.config import EngineConfig
from trainer import progress
from trainer.errors import UserError

_LOG: Final = logging.getLogger(__name__)
_POLL_SECONDS: Final = 2.0
_GRACE_SECONDS: Final = 20.0
_LEAST_SECONDS: Final = 120.0  # of the job that asks: workers import Beam for it
_AGAIN: Final = "The same command then goes on with this step."
# Runners whose cluster or job server can be asked before a job.
_ASKED: Final = ("portable", "flink", "spark")


class Guard:
    """Guards the steps of one run; the workers are asked once.

    Args:
      engine: The engine.
      folders: Folders that workers must share with this machine, beside
        `engine.shared_dir`.
    """

    def __init__(self, engine: EngineConfig, folders: Sequence[str]) -> None:
        self._engine = engine
        self._folders = [*folders, *filter(None, [engine.shared_dir])]
        self._asked = False

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Guards one step.

        Raises:
          UserError: The engine is the reason that the step cannot run, or failed.
        """
        if self._engine.runner == "local":
            yield
            return
        if self._engine.runner == "multiprocess" or self._engine.master == "embed":
            from pipeline.engines.embedded import end_jobs_of_lost_workers

            end_jobs_of_lost_workers()
        local = [Path(folder) for folder in self._folders if "://" not in folder]
        if self._engine.runner == "dataflow" and local:
            raise UserError(
                f"Dataflow's workers do not see {local[0]}, which is on this machine",
                "Keep artifacts at gs://, by a script as in docs/architecture.md.",
            )
        try:
            if self._engine.runner in _ASKED:
                found = cluster.wait_for_slot(self._engine, _report)
                if not self._asked:
                    self._check(found)
                with _watched(self._engine, found):
                    yield
            else:
                yield
        except Exception as error:
            explained = failures.explain(error, self._engine, local)
            if explained is None:
                raise
            raise explained from error

    def _check(self, found: cluster.Cluster | None) -> None:
        """Checks the versions of the cluster and of its workers."""
        from pipeline.engines import known_options, workers

        if found is not None and found.version:
            fault = known_options.version_fault(self._engine, found.version)
            if fault is not None:
                raise fault
        self._asked = self._engine.environment == "loopback"
        if self._asked:
            return
        _report(f"checking the workers of {self._engine.runner}")
        seconds = max(self._engine.timeout_seconds, _LEAST_SECONDS)
        reports = workers.ask(self._engine, self._folders, seconds)
        for fault in workers.faults(reports):
            raise fault
        self._asked = True


def _report(text: str) -> None:
    _LOG.info("%s", text)
    progress.emit("phase", text=text)


@contextlib.contextmanager
def _watched(engine: EngineConfig, before: cluster.Cluster | None) -> Iterator[None]:
    """Interrupts the block when the engine is gone for `engine.timeout_seconds`.

    Beam waits for a job without a bound. A signal interrupts that in the main thread,
    by an exception that ends the step like any other.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ended = threading.Event()
    # After the end a signal would meet the handler of before, which may be the
    # system's, and that ends the process.
    ending = threading.Lock()
    faults: list[UserError] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not ended.is_set():
            raise faults[0]

    def watch() -> None:
        fault = _first_fault(engine, ended, before)
        with ending:
            if fault is None or ended.is_set():
                return
            faults.append(fault)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        if not ended.wait(_GRACE_SECONDS):  # what cleans up waits for the engine, too
            progress.emit("error", step=None, cause=fault.message, remedy=fault.remedy)
            _LOG.error("%s", fault)
            os._exit(1)

    previous = signal.signal(signal.SIGUSR1, interrupt)
    threading.Thread(target=watch, name="watch-engine", daemon=True).start()
    try:
        yield
    finally:
        try:
            with ending:
                ended.set()
        finally:  # the interruption may come here, too
            ended.set()
            signal.signal(signal.SIGUSR1, previous)


def _first_fault(
    engine: EngineConfig, ended: threading.Event, before: cluster.Cluster | None
) -> UserError | None:
    """Waits for the end of the block; returns what is wrong with the engine till then.

    Args:
      engine: The engine.
      ended: The end.
      before: State of the cluster before the block, with the jobs of others.
    """
    others = before.applications if before is not None else {}
    good = time.monotonic()
    while not ended.wait(_POLL_SECONDS):
        try:
            found = cluster.check_reachable(engine)
            why = "" if found is None else found.hindered(others)
        except UserError as error:
            why = error.message
        now = time.monotonic()
        if not why:
            good = now
        elif now - good >= engine.timeout_seconds:
            return UserError(
                f"{why}, for {now - good:.0f} s in the middle of the step",
                "Start what is missing, and look at the log of the engine's workers. "
                f"{_AGAIN}",
            )
    return None
