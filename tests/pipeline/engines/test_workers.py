"""Real workers of Beam's own runner: what they answer, and how their loss shows."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_fn_api_pb2 as fn_api
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    ControlConnection,
)

from pipeline.engines import doctor, worker_pool, workers
from pipeline.engines.beam_options import beam_args
from pipeline.engines.config import EngineConfig
from pipeline.engines.embedded import end_jobs_of_lost_workers
from pipeline.engines.guard import Guard
from pipeline.engines.worker_report import worker_report
from trainer.errors import UserError

LOOPBACK = EngineConfig(runner="portable", master="embed", environment="loopback")


def report(**changes: Any) -> dict[str, Any]:
    return {**worker_report([], ""), **changes}


def test_workers_that_equal_this_process_have_no_fault() -> None:
    folder = {"read": True, "written": "a", "seen": True, "error": ""}
    assert not [*workers.faults([report(folders={"/shared": folder})])]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"python": "3.8.1"}, "have Python 3.8.1, and this process"),
        ({"beam": "2.1.0"}, "have Apache Beam 2.1.0, and this process"),
        ({"sources": None}, "do not have our packages components"),
        ({"sources": "other"}, "have other code of components"),
        ({"free_mb": 3}, "has 3 MB left"),
        (
            {"folders": {"/shared": {"read": False, "error": "No such file"}}},
            "do not see /shared as this machine does: No such file",
        ),
        (
            {"folders": {"/shared": {"read": True, "seen": False, "error": ""}}},
            "write to /shared does not arrive: their file is not here",
        ),
    ],
)
def test_a_worker_that_is_unfit(changes: dict[str, Any], expected: str) -> None:
    found = [*workers.faults([report(**changes), report(**changes)])]
    assert len(found) == 1
    assert expected in found[0].message
    assert found[0].remedy


def test_no_worker_answered() -> None:
    (fault,) = workers.faults([])
    assert fault.message == "No worker answered"


def test_a_job_asks_real_workers_and_leaves_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    reports = workers.ask(LOOPBACK, [str(folder)], 300)
    assert not [*workers.faults(reports)]
    assert reports[0]["process"] == os.getpid()
    assert reports[0]["folders"][str(folder)]["seen"]
    assert not any(folder.iterdir())


def test_a_folder_that_cannot_be_written_here(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        workers.ask(LOOPBACK, [str(tmp_path / "file" / "shared")], 60)


def _sleep(seconds: int) -> None:
    import os as workers_os
    import time as workers_time

    print(f"process {workers_os.getpid()} sleeps", flush=True)
    workers_time.sleep(seconds)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[tuple[EngineConfig, Path]]:
    """A worker pool in a process of its own, and its log."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    log = tmp_path / "pool.log"
    command = [sys.executable, "-m", "pipeline", "worker-pool", "--port", f"{port}"]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    _until(log, "Listening")
    yield (
        EngineConfig(
            runner="portable",
            master="embed",
            environment_config=f"localhost:{port}",
            shared_dir=str(tmp_path / "shared"),
        ),
        log,
    )
    process.terminate()
    assert process.wait(30) == 0


def _until(log: Path, text: str) -> str:
    """Waits for a line of a log."""
    for _ in range(3000):
        found = [line for line in log.read_text().splitlines() if text in line]
        if found:
            return found[-1]
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def test_who_asks_a_lost_worker_is_answered_before_and_after_its_end() -> None:
    end_jobs_of_lost_workers()
    connection = ControlConnection()
    first = connection.push(fn_api.InstructionRequest())
    connection.set_input(iter(()))
    for future in (first, connection.push(fn_api.InstructionRequest())):
        assert future.get(timeout=10).error == "Worker disconnected"
    connection.close()


def test_a_pool_that_ends_ends_all_of_its_workers(monkeypatch: Any) -> None:
    monkeypatch.setattr(worker_pool, "_WORKER", "import time; time.sleep(60)")
    pool = worker_pool.WorkerPool(use_process=True)
    for name in "abc":
        pool.StartWorker(fn_api.StartWorkerRequest(worker_id=name), None)
    started = [*pool.processes.values()]
    worker_pool.end_workers()
    assert [process.poll() for process in started] == [-signal.SIGTERM] * 3
    assert not pool.processes


@pytest.mark.slow
def test_a_pool_answers_and_the_loss_of_its_worker_ends_the_job(
    pool: tuple[EngineConfig, Path], tmp_path: Path
) -> None:
    engine, log = pool
    checks = {check.name: check for check in doctor.examine(engine, tmp_path / "none")}
    assert {check.state for check in checks.values()} == {"ok"}, checks
    assert "read and written by both" in checks["shared folder"].value

    def kill() -> None:
        process = int(_until(log, "sleeps").split()[1])
        os.kill(process, signal.SIGKILL)

    guard = Guard(engine, [])
    with pytest.raises(UserError, match="A worker of portable was lost"):
        with guard.step():
            options = PipelineOptions(beam_args(engine))
            pipeline = beam.Pipeline(options=options)
            _ = pipeline | beam.Create([60]) | beam.Map(_sleep)
            result = pipeline.run()
            kill()
            result.wait_until_finish()
    assert "exit code -9" in _until(log, "exit code -9")
