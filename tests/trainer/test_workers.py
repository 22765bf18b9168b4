"""Training on several devices, and by several processes."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.several_processes import Ended, run_together
from tests.fixtures.warm_python import WarmPython, warm_python

pytestmark = pytest.mark.slow

# Of sums in float32 in another order.
TOLERANCE = 1e-3


class Workers:
    """Starts processes that train."""

    def __init__(self, python: WarmPython) -> None:
        self._python = python

    def alone(
        self, folder: Path, checkpoints: Path, devices: int = 1, **environment: str
    ) -> Ended:
        """Runs one."""
        process = _arguments(folder, checkpoints, devices), environment
        [ended] = run_together(self._python, [process])
        return ended

    def two(
        self, folder: Path, checkpoints: Sequence[Path], **environment: str
    ) -> list[Ended]:
        """Runs two that know each other, each with a folder of checkpoints."""
        workers = [f"localhost:{port}" for port in free_ports(2)]
        processes = []
        for index in range(2):
            task = {"type": "worker", "index": index}
            config = json.dumps({"cluster": {"worker": workers}, "task": task})
            arguments = _arguments(folder / str(index), checkpoints[index], 1)
            processes.append((arguments, {"TF_CONFIG": config, **environment}))
        return run_together(self._python, processes)


def _arguments(folder: Path, checkpoints: Path, devices: int) -> list[str]:
    folder.mkdir(exist_ok=True)
    return ["tests.fixtures.worker", str(devices), str(folder), str(checkpoints)]


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """Without the imports of TFX, which no process here needs."""
    with warm_python(["tensorflow", "keras"]) as python:
        yield Workers(python)


def result(ended: Ended) -> dict[str, Any]:
    """Reads what a worker says in the end."""
    assert ended.code == 0, ended.errors
    (line,) = (line for line in ended.output.splitlines() if line.startswith("RESULT"))
    content: dict[str, Any] = json.loads(line.removeprefix("RESULT"))
    return content


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def alone(workers: Workers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("alone")
    return result(workers.alone(folder, folder / "checkpoints" / "key"))


def test_two_devices_train_the_same_model_as_one(
    alone: dict[str, Any], workers: Workers, tmp_path: Path
) -> None:
    together = result(workers.alone(tmp_path, tmp_path / "checkpoints" / "key", 2))
    assert (alone["replicas"], together["replicas"]) == (1, 2)
    assert together["loss"] == pytest.approx(alone["loss"], rel=TOLERANCE)
    assert together["weights"] == pytest.approx(alone["weights"], rel=TOLERANCE)


def test_two_workers_train_the_same_model_as_one(
    alone: dict[str, Any], workers: Workers, tmp_path: Path
) -> None:
    shared = tmp_path / "checkpoints" / "key"
    results = [result(one) for one in workers.two(tmp_path, (shared, shared))]
    assert results[0] == results[1]
    assert results[0]["replicas"] == 2
    assert results[0]["loss"] == pytest.approx(alone["loss"], rel=TOLERANCE)
    assert results[0]["weights"] == pytest.approx(alone["weights"], rel=TOLERANCE)
    written = {path.parent.name for path in tmp_path.glob("*/log")}
    assert written == {"0"}, "only the chief writes"


def test_killed_workers_resume(
    alone: dict[str, Any], workers: Workers, tmp_path: Path
) -> None:
    shared = tmp_path / "checkpoints" / "key"
    killed = workers.two(tmp_path, (shared, shared), KILL_AFTER="2")
    assert [one.code for one in killed] == [-signal.SIGKILL] * 2
    results = [result(one) for one in workers.two(tmp_path, (shared, shared))]
    assert results[0] == results[1]
    assert results[0]["epochs"] == 1
    assert results[0]["loss"] == pytest.approx(alone["loss"], rel=TOLERANCE)
    assert results[0]["weights"] == pytest.approx(alone["weights"], rel=TOLERANCE)


def test_workers_that_see_different_checkpoints_all_fail(
    workers: Workers, tmp_path: Path
) -> None:
    """Each would wait for the other for ever, or train another model."""
    checkpoints = [tmp_path / "checkpoints" / name for name in ("one", "other")]
    killed = workers.alone(tmp_path, checkpoints[0], KILL_AFTER="2")
    assert killed.code == -signal.SIGKILL
    for ended in workers.two(tmp_path, checkpoints):
        assert ended.code not in (0, -signal.SIGKILL)
        assert "Let all workers see one folder" in ended.errors
