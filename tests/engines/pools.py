"""Pools of Python workers, as they run beside the workers of an engine."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.engines.machines import REPOSITORY, Machine, one_address

PORT: Final = 50000


def start_pool(machine: Machine) -> None:
    """Starts a pool of workers."""
    env = {
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    command = [sys.executable, "-m", "pipeline", "worker-pool", f"--port={PORT}"]
    machine.start("pool", command, env)


def start_pools(machines: Sequence[Machine]) -> None:
    """Starts a pool on each machine, and waits until they answer."""
    for machine in machines:
        start_pool(machine)
    for machine in machines:
        wait_until(lambda to=machine: _answers(to), f"the pool of {machine.name}")


def _answers(machine: Machine) -> bool:
    with socket.create_connection((machine.address, PORT), timeout=5):
        return True


@contextlib.contextmanager
def embedded_runner(machines: Sequence[Machine], shared: Path) -> Iterator[list[str]]:
    """Starts pools for Beam's embedded runner.

    Yields:
      What `two-tower run` is given; the next worker is always on the next machine.
    """
    start_pools(machines)
    with one_address(PORT, machines) as address:
        yield [
            "--engine=portable",
            *("--set", "engine.master=embed"),
            *("--set", f"engine.environment_config={address}"),
            *("--set", f"engine.shared_dir={shared / 'beam'}"),
            *("--set", "engine.timeout_seconds=900"),
        ]


def wait_until(is_so: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Waits until a condition holds; errors of the network count as not yet.

    Raises:
      TimeoutError: It does not hold in time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if is_so():
                return
        time.sleep(0.5)
    raise TimeoutError(f"{what}: not there after {seconds} seconds")
