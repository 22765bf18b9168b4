"""Trains by several processes of this machine, and leaves none of them behind."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any, Final

import psutil

from trainer import progress
from trainer.errors import UserError
from trainer.workers import channel
from trainer.workers.arguments import as_mapping, write_arguments

# What runs one worker: to it come the file of the arguments and the channel.
PROGRAM: Final = (sys.executable, "-m", "trainer.workers")
_POLL_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 5.0
# When one worker fails, those that wait for it fail soon, and less clearly.
_LATE_SECONDS: Final = 0.3
_STARTS: Final = 3
_MIB: Final = 1024 * 1024


class PortTakenError(Exception):
    """Another program has taken a port between its choice and its use."""


def train_locally(
    fn_args: Any,
    num_workers: int,
    program: Sequence[str] = PROGRAM,
    gpus: Sequence[str] = (),
) -> None:
    """Trains and exports as `trainer.training.train_and_export` does, by N processes.

    Args:
      fn_args: TFX's `FnArgs`.
      num_workers: Processes, which share the cores of this machine.
      program: What each of them runs.
      gpus: GPUs of this machine, which they share too.

    Raises:
      UserError: The GPUs cannot be divided evenly; or a worker failed or was killed,
        and all have been ended. Training goes on after the last finished epoch when
        it is started again.
    """
    shares = divide_gpus(gpus, num_workers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arguments.json"
        write_arguments(as_mapping(fn_args), path)
        for start in range(1, _STARTS + 1):
            try:
                _train_once([*program, str(path)], shares)
            except PortTakenError:
                if start == _STARTS:
                    raise
                logging.warning("A port was taken: the workers start again")
            else:
                return


def divide_gpus(gpus: Sequence[str], num_workers: int) -> list[dict[str, str]]:
    """Returns the environment variables that give each worker its share of the GPUs.

    Raises:
      UserError: They cannot be divided evenly: a batch is, so that workers without a
        GPU, or with fewer, would make all others wait.
    """
    if not gpus:
        return [{} for _ in range(num_workers)]
    share, rest = divmod(len(gpus), num_workers)
    if rest or not share:
        raise UserError(
            f"train.workers is {num_workers}, and this machine has {len(gpus)} "
            f"GPU{'' if len(gpus) == 1 else 's'}, which cannot be divided evenly",
            "Set train.workers=1: one process trains on all GPUs of a machine.",
        )
    return [
        {"CUDA_VISIBLE_DEVICES": ",".join(gpus[start : start + share])}
        for start in range(0, len(gpus), share)
    ]


def _train_once(command: Sequence[str], shares: Sequence[dict[str, str]]) -> None:
    num_workers = len(shares)
    threads = threads_of_each(num_workers)
    progress.emit(
        "train",
        text=f"{num_workers} workers with {threads} thread"
        f"{'' if threads == 1 else 's'} each, all of the model and data in each",
    )
    addresses = [f"localhost:{port}" for port in free_ports(num_workers)]
    workers: list[Worker] = []
    try:
        for index, share in enumerate(shares):
            workers.append(Worker(index, addresses, command, threads, share))
        while any([worker.is_running() for worker in workers]):
            if any(worker.has_failed() for worker in workers):
                time.sleep(_LATE_SECONDS)
                break
            time.sleep(_POLL_SECONDS)
    finally:
        failed = [worker for worker in workers if worker.has_failed()]
        end(workers)
    peaks = ", ".join(f"{worker.peak_rss_mb:,.0f}" for worker in workers)
    if failed:
        logging.error("Peak memory of the workers: %s MiB", peaks)
        raise explain(failed, num_workers)
    progress.emit("train", text=f"peak memory of the workers: {peaks} MiB")


def threads_of_each(num_workers: int) -> int:
    """Returns the threads of a worker: the cores, divided among all of them."""
    return max(1, len(os.sched_getaffinity(0)) // num_workers)


def free_ports(count: int) -> list[int]:
    """Returns ports of this machine that nobody uses at the moment."""
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]


class Worker:
    """A process that trains, and what is known of it.

    Attributes:
      index: Its number; 0 is the chief.
      peak_rss_mb: Peak resident memory so far, in MiB, sampled every 0.1 s.
      error: What it could say about its failure, if anything: an event `error`.
    """

    def __init__(
        self,
        index: int,
        addresses: Sequence[str],
        command: Sequence[str],
        threads: int,
        variables: Mapping[str, str],
    ) -> None:
        """Starts the process.

        Args:
          index: Its number.
          addresses: Host and port of every worker.
          command: What it runs.
          threads: Threads of its operations.
          variables: Environment variables of its own.
        """
        self.index = index
        self.peak_rss_mb = 0.0
        self.error: progress.Event | None = None
        cluster = {
            "cluster": {"worker": list(addresses)},
            "task": {"type": "worker", "index": index},
        }
        # What the user has set for all processes stays.
        limits = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
        environment = dict.fromkeys(limits, str(threads)) | dict(os.environ)
        reading, writing = os.pipe()
        self._process = subprocess.Popen(
            [*command, "--channel", str(writing)],
            stdin=subprocess.PIPE,  # which closes when this process ends
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**environment, **variables, "TF_CONFIG": json.dumps(cluster)},
            pass_fds=(writing,),
        )
        os.close(writing)
        targets = (self._log, lambda: self._follow(reading))
        self._threads = [Thread(target=target, daemon=True) for target in targets]
        for thread in self._threads:
            thread.start()

    def is_running(self) -> bool:
        """Returns whether it has not ended; samples its memory."""
        if self._process.poll() is not None:
            return False
        with contextlib.suppress(psutil.Error):
            rss = psutil.Process(self._process.pid).memory_info().rss / _MIB
            self.peak_rss_mb = max(self.peak_rss_mb, rss)
        return True

    def has_failed(self) -> bool:
        """Returns whether it has ended, and not well."""
        return self._process.poll() not in (None, 0)

    @property
    def exit_code(self) -> int:
        """Its exit code, negative for a signal; 0 while it runs."""
        return self._process.poll() or 0

    def terminate(self) -> None:
        """Asks the process to end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def close(self, deadline: float) -> None:
        """Ends the process, at the deadline by force, and reads what it wrote."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join(_GRACE_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def _log(self) -> None:
        """Passes its output on to the log, line by line."""
        log = logging.getLogger(f"worker {self.index}")
        assert self._process.stdout is not None
        for line in self._process.stdout:
            log.info("%s", line.decode(errors="replace").rstrip())

    def _follow(self, descriptor: int) -> None:
        """Passes its events on, the chief's alone, and keeps its error."""
        for event in channel.receive(descriptor):
            if event.get("kind") == "error":
                self.error = event
            elif self.index == 0:
                progress.forward(event)


def end(workers: Sequence[Worker]) -> None:
    """Ends all processes that still run: SIGTERM first, then SIGKILL."""
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    for worker in workers:
        worker.close(deadline)


def explain(failed: Sequence[Worker], num_workers: int) -> Exception:
    """Returns what to raise: of several failures the one that caused the others."""
    if any(worker.exit_code == channel.PORT_TAKEN for worker in failed):
        return PortTakenError()
    first = min(failed, key=lambda worker: (worker.exit_code > 0, not worker.error))
    name = f"worker {first.index} of {num_workers}"
    if first.exit_code == -signal.SIGKILL:
        return UserError(
            f"{name} was killed by the system, as happens when memory runs out; its "
            f"peak was {first.peak_rss_mb:,.0f} MiB",
            "Free some memory, or use fewer workers, each of which holds all of the "
            "model and data. Run it again: it goes on after the last finished epoch.",
        )
    if first.exit_code < 0:
        ended = signal.Signals(-first.exit_code).name
        return UserError(
            f"{name} was ended by {ended}",
            "Run it again: it goes on after the last finished epoch.",
        )
    if first.error is None:
        return UserError(
            f"{name} ended with exit code {first.exit_code}",
            "The end of the log shows why.",
        )
    cause, remedy = first.error["cause"], first.error["remedy"]
    return UserError(cause, remedy or "The log of the run has the traceback.")
