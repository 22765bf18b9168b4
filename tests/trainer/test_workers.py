"""Training on several devices, and by several processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

# Of sums in float32 in another order.
TOLERANCE = 1e-3


def start(
    folder: Path, checkpoints: Path, devices: int = 1, **environment: str
) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    arguments = [str(devices), str(folder), str(checkpoints)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fixtures.worker", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen) -> dict[str, Any]:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    (line,) = (line for line in out.splitlines() if line.startswith("RESULT"))
    content: dict[str, Any] = json.loads(line.removeprefix("RESULT"))
    return content


def start_two(
    folder: Path, checkpoints: tuple[Path, Path], **environment: str
) -> list[subprocess.Popen]:
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


def kill(processes: list[subprocess.Popen]) -> None:
    """Waits for processes that kill themselves."""
    for process in processes:
        process.communicate(timeout=240)
        assert process.returncode == -signal.SIGKILL


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


def test_two_devices_train_what_one_trains(
    alone: dict[str, Any], tmp_path: Path
) -> None:
    together = result(start(tmp_path, tmp_path / "checkpoints" / "key", 2))
    assert (alone["replicas"], together["replicas"]) == (1, 2)
    assert together["loss"] == pytest.approx(alone["loss"], rel=TOLERANCE)
    assert together["weights"] == pytest.approx(alone["weights"], rel=TOLERANCE)


def test_two_workers_train_what_one_trains(
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


def test_killed_workers_go_on_where_they_were(
    alone: dict[str, Any], tmp_path: Path
) -> None:
    shared = tmp_path / "checkpoints" / "key"
    kill(start_two(tmp_path, (shared, shared), KILL_AFTER="2"))
    results = [result(one) for one in start_two(tmp_path, (shared, shared))]
    assert results[0] == results[1]
    assert results[0]["epochs"] == 1
    assert results[0]["loss"] == pytest.approx(alone["loss"], rel=TOLERANCE)
    assert results[0]["weights"] == pytest.approx(alone["weights"], rel=TOLERANCE)


def test_workers_who_see_different_checkpoints_all_say_so(tmp_path: Path) -> None:
    """Each would wait for the other for ever, or train another model."""
    checkpoints = [tmp_path / "checkpoints" / name for name in ("one", "other")]
    kill([start(tmp_path, checkpoints[0], KILL_AFTER="2")])
    for process in start_two(tmp_path, (checkpoints[0], checkpoints[1])):
        _, err = process.communicate(timeout=240)
        assert process.returncode not in (0, -signal.SIGKILL)
        assert "Let all workers see one folder" in err
