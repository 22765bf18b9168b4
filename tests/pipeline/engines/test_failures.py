"""What engines and workers report, as one line with a remedy."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pipeline.engines.config import EngineConfig
from pipeline.engines.failures import explain

ENGINE = EngineConfig(runner="portable", master="embed", environment="loopback")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Traceback (most recent call last):\n  File ...\n"
            "ModuleNotFoundError: No module named 'components'\n",
            "has no module components. Install two-tower there",
        ),
        ("SystemError: unknown opcode", "another version of Python"),
        (
            "Pipeline job failed in state FAILED: "
            "org.apache.flink.runtime.jobmanager.scheduler."
            "NoResourceAvailableException: Could not acquire the minimum required",
            "had no free slot for the step",
        ),
        (
            "java.util.concurrent.TimeoutException: The heartbeat of TaskManager with "
            "id localhost:40001-a timed out.",
            "A worker of portable was lost",
        ),
        (
            "RetryException: Could not complete the operation. Number of retries has "
            "been exhausted.",
            "portable does not answer",
        ),
        ("All masters are unresponsive! Giving up.", "portable does not answer"),
        (
            "<_MultiThreadedRendezvous of RPC that terminated with:\n"
            '\tstatus = StatusCode.UNAVAILABLE\n\tdetails = "Socket closed"',
            "portable does not answer",
        ),
        (
            "java.io.IOException: Connection reset by peer",
            "A worker of portable was lost",
        ),
        (
            "[Errno 28] No space left on device: '/mnt/w/tmp/a'",
            "has no space left on its disk, for /mnt/w/tmp/a",
        ),
        (
            "[Errno 2] No such file or directory: 'java'",
            "java was not found, which Beam's job server",
        ),
        (
            "Service failed to start up with error 1",
            "job server for portable ended when it was started. Look",
        ),
        (
            "Unable to fetch remote job server jar at https://x/a.jar: HTTP Error 404",
            "job server for portable is not at https://x/a.jar",
        ),
    ],
)
def test_a_failure_of_the_engine(text: str, expected: str, tmp_path: Path) -> None:
    found = explain(RuntimeError(text), ENGINE, [tmp_path])
    assert found is not None
    assert expected in str(found)
    assert found.remedy
    assert "{" not in str(found)


def test_a_path_that_is_here_and_that_a_worker_does_not_see(tmp_path: Path) -> None:
    text = f"FileNotFoundError: [Errno 2] No such file or directory: '{tmp_path}/a'"
    found = explain(RuntimeError(text), ENGINE)
    assert found is not None
    assert f"does not see {tmp_path}/a" in found.message
    other = "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/b/a'"
    assert explain(RuntimeError(other), ENGINE) is None


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'some_library'"),
        OSError(errno.ENOSPC, "No space left on device", "/tmp/rows"),
    ],
)
def test_an_error_of_this_process_is_no_workers(error: Exception) -> None:
    assert explain(error, ENGINE) is None


def test_a_file_that_this_process_does_not_find(tmp_path: Path) -> None:
    missing = str(tmp_path / "a")
    error = FileNotFoundError(errno.ENOENT, "No such file or directory", missing)
    assert explain(error, ENGINE) is None


def test_workers_of_this_machine_can_only_be_lost(tmp_path: Path) -> None:
    engine = EngineConfig(runner="multiprocess")
    missing = f"FileNotFoundError: [Errno 2] No such file or directory: '{tmp_path}/a'"
    for text in (missing, "ModuleNotFoundError: No module named 'a'"):
        assert explain(RuntimeError(text), engine) is None
    lost = explain(RuntimeError("Worker disconnected"), engine)
    assert lost is not None and "was lost" in lost.message


def test_an_error_that_a_component_explains_itself_is_left_to_it() -> None:
    text = (
        "Traceback (most recent call last):\n  File ...\n"
        "trainer.errors.UserError: ratings.csv line 3: Connection refused. Change it.\n"
    )
    assert explain(RuntimeError(text), ENGINE) is None
