"""The process of ServabilityCheck, started ahead of its work or not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from components.servability_check import check_process

NO_MODEL = "the model cannot be loaded"
# `Requests` is made of it before the model, which is absent, is loaded.
REQUESTS: dict[str, Any] = {
    "types": {},
    "signatures": [],
    "users": [],
    "corpus": {"movie_id": [], "genres": [], "year": []},
    "genre_names": [],
    "is_exact": True,
    "limits": {"max_k": 10},
    "max_latency_ms": None,
}
_START = """
import time
from components.servability_check.check_process import _ahead, start_ahead
start_ahead()
print(_ahead[0].pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _none_ahead() -> Iterator[None]:
    assert not check_process._ahead
    yield
    for process in check_process._ahead:
        process.communicate()
    check_process._ahead.clear()


def reasons_of_no_model(folder: Path) -> str:
    (reason,) = check_process.check_in_process(str(folder / "absent"), REQUESTS)[
        "reasons"
    ]
    return str(reason)


@pytest.mark.slow  # it imports TensorFlow
def test_the_process_that_was_started_ahead_is_the_one_that_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_process.start_ahead()
    check_process.start_ahead()  # a second training, before the first check
    (ahead,) = check_process._ahead
    monkeypatch.setattr(check_process, "_started", lambda: pytest.fail("one more"))
    assert reasons_of_no_model(tmp_path).startswith(NO_MODEL)
    assert ahead.returncode == 0 and not check_process._ahead


@pytest.mark.slow
def test_a_process_that_was_killed_as_it_waited_is_replaced(tmp_path: Path) -> None:
    check_process.start_ahead()
    check_process._ahead[0].kill()
    check_process._ahead[0].wait()
    assert reasons_of_no_model(tmp_path).startswith(NO_MODEL)


def test_one_that_cannot_start_ahead_is_left_to_the_check(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(check_process.tempfile, "gettempdir", lambda: "/no/folder")
    check_process.start_ahead()
    assert not check_process._ahead
    assert "/no/folder" in caplog.text


def test_a_crash_and_a_hang_are_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = (
        "import os, sys; print('no memory', file=sys.stderr, flush=True); os.abort()"
    )
    monkeypatch.setattr(check_process, "_START", crash)
    reason = "the serving process ended with -6: no memory"
    assert reasons_of_no_model(tmp_path) == reason
    monkeypatch.setattr(check_process, "_START", "import time; time.sleep(600)")
    monkeypatch.setattr(check_process, "_TIMEOUT_SECONDS", 0.5)
    assert reasons_of_no_model(tmp_path) == "no answer within 0.5 seconds"


def test_a_process_that_waits_ends_with_the_one_that_started_it() -> None:
    command = [sys.executable, "-c", _START]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        waiting = psutil.Process(json.loads(parent.stdout.readline()))
        parent.kill()
    waiting.wait(60)
    assert not waiting.is_running()
