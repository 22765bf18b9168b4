"""Training on several devices, and by several processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.slow

# Of sums in float32 in another order.
TOLERANCE = 1e-3


class Process(NamedTuple):
    """One that was started, and where its standard error goes."""

    popen: subprocess.Popen
    errors: Path

    def wait(self) -> tuple[str, str]:
        """What it said, at its end."""
        out, _ = self.popen.communicate(timeout=240)
        return out, self.errors.read_text()


_started: list[subprocess.Popen] = []


@pytest.fixture(autouse=True)
def no_process_stays() -> Iterator[None]:
    """Workers that wait for each other would wait for ever."""
    yield
    for process in _started:
        process.kill()
        process.communicate()
    _started.clear()


def start(
    folder: Path, checkpoints: Path, devices: int = 1, **environment: str
) -> Process:
    folder.mkdir(exist_ok=True)
    arguments = [str(devices), str(folder), str(checkpoints)]
    errors = folder / "errors"
    with errors.open("w") as file:  # a pipe that nobody reads would fill
        popen = subprocess.Popen(
            [sys.executable, "-m", "tests.fixtures.worker", *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    _started.append(popen)
    return Process(popen, errors)


def result(process: Process) -> dict[str, Any]:
    out, errors = process.wait()
    assert process.popen.returncode == 0, errors
    (line,) = (line for line in out.splitlines() if line.startswith("RESULT"))
    content: dict[str, Any] = json.loads(line.removeprefix("RESULT"))
    return content


def start_two(
    folder: Path, checkpoints: tuple[Path, Path], **environment: str
) -> list[Process]:
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        processes.append(
            start(
                *(folder / str(index), checkpoints[index]),
                TF_CONFIG=config,
                **environment,
            )
        )
    return processes


def kill(processes: list[Process]) -> None:
    """Waits for processes that kill themselves."""
    for process in processes:
        process.wait()
        assert process.popen.returncode == -signal.SIGKILL


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("alone")
    return result(start(folder, folder / "checkpoints" / "key"))


def test_two_devices_train_the_same_model_as_one(
    alone: dict[str, Any], tmp_path: Path
) -> None:
    together = result(start(tmp_path, tmp_path / "checkpoints" / "key", 2))
    assert (alone["replicas"], together["replicas"]) == (1, 2)
    assert together["loss"] == pytest.approx(alone["loss"], rel=TOLERANCE)
    assert together["weights"] == pytest.approx(alone["weights"], rel=TOLERANCE)


def test_two_workers_train_the_same_model_as_one(
    alone: dict[str, Any], tmp_path: Path
) -> None:
    shared = tmp_path / "checkpoints" / "key"
    results = [result(one) for one in start_two(tmp_path, (shared, shared))]
    assert results[0] == results[1]
    assert results[0]["replicas"] == 2
    assert results[0]["loss"] == pytest.approx(alone["loss"], rel=TOLERANCE)
    assert results[0]["weights"] == pytest.approx(alone["weights"], rel=TOLERANCE)
    written = {path.parent.name for path in tmp_path.glob("*/log")}
    assert written == {"0"}, "only the chief writes"


def test_killed_workers_resume(alone: dict[str, Any], tmp_path: Path) -> None:
    shared = tmp_path / "checkpoints" / "key"
    kill(start_two(tmp_path, (shared, shared), KILL_AFTER="2"))
    results = [result(one) for one in start_two(tmp_path, (shared, shared))]
    assert results[0] == results[1]
    assert results[0]["epochs"] == 1
    assert results[0]["loss"] == pytest.approx(alone["loss"], rel=TOLERANCE)
    assert results[0]["weights"] == pytest.approx(alone["weights"], rel=TOLERANCE)


def test_workers_that_see_different_checkpoints_all_fail(tmp_path: Path) -> None:
    """Each would wait for the other for ever, or train another model."""
    checkpoints = [tmp_path / "checkpoints" / name for name in ("one", "other")]
    kill([start(tmp_path, checkpoints[0], KILL_AFTER="2")])
    for process in start_two(tmp_path, (checkpoints[0], checkpoints[1])):
        _, errors = process.wait()
        assert process.popen.returncode not in (0, -signal.SIGKILL)
        assert "Let all workers see one folder" in errors
