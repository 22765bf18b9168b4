"""Training on several devices, and by several processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

# Of sums in float32 in another order.
TOLERANCE = 1e-3


def start(folder: Path, devices: int = 1, tf_config: Any = None) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.fixtures.worker", str(devices), str(folder)]
    config = {"TF_CONFIG": json.dumps(tf_config)} if tf_config else {}
    return subprocess.Popen(
        command,
        env={**os.environ, **config},
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
    return result(start(tmp_path_factory.mktemp("alone")))


def test_two_devices_train_what_one_trains(
    alone: dict[str, Any], tmp_path: Path
) -> None:
    together = result(start(tmp_path, devices=2))
    assert (alone["replicas"], together["replicas"]) == (1, 2)
    assert together["loss"] == pytest.approx(alone["loss"], rel=TOLERANCE)
    assert together["weights"] == pytest.approx(alone["weights"], rel=TOLERANCE)


def test_two_workers_train_what_one_trains(
    alone: dict[str, Any], tmp_path: Path
) -> None:
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    processes = [
        start(
            tmp_path / str(index),
            tf_config={
                "cluster": {"worker": addresses},
                "task": {"type": "worker", "index": index},
            },
        )
        for index in range(2)
    ]
    results = [result(process) for process in processes]
    assert results[0] == results[1]
    assert results[0]["replicas"] == 2
    assert results[0]["loss"] == pytest.approx(alone["loss"], rel=TOLERANCE)
    assert results[0]["weights"] == pytest.approx(alone["weights"], rel=TOLERANCE)
    written = {path.parent.name for path in tmp_path.glob("*/log")}
    assert written == {"0"}, "only the chief writes"
