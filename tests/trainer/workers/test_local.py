"""Several processes of this machine: how they start, fail and end.

The programs are small; see `tests/trainer/test_workers.py` for TensorFlow.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from trainer import progress
from trainer.errors import UserError
from trainer.workers import channel
from trainer.workers.arguments import FIELDS
from trainer.workers.local import divide_gpus, threads_of_each, train_locally

FN_ARGS = SimpleNamespace(**{**dict.fromkeys(FIELDS), "train_files": ["a", "b"]})
# A worker that knows its number, its arguments and how to send an event.
START = """
import json, os, signal, sys, time
task = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
arguments = json.load(open(sys.argv[1]))
def emit(**event):
    os.write(int(sys.argv[3]), (json.dumps(event) + "\\n").encode())
"""


def train(script: str, num_workers: int = 2) -> None:
    train_locally(FN_ARGS, num_workers, [sys.executable, "-c", START + script])


@pytest.fixture
def events() -> Iterator[list[progress.Event]]:
    """What the step emits."""
    found: list[progress.Event] = []
    with progress.received_by(found.append):
        yield found


def children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


@pytest.fixture
def others() -> set[psutil.Process]:
    """What other tests have started in this process."""
    return children()


def test_each_worker_knows_the_cluster_and_reads_the_arguments(tmp_path: Path) -> None:
    train(
        f"""
keys = ("TF_CONFIG", "TF_NUM_INTRAOP_THREADS")
content = [*map(os.environ.get, keys), arguments["train_files"]]
open(f"{tmp_path}/{{task}}", "w").write(json.dumps(content))
""",
        3,
    )
    found = [json.loads((tmp_path / str(i)).read_text()) for i in range(3)]
    clusters = [json.loads(text) for text, _, _ in found]
    assert [one["task"] for one in clusters] == [
        {"type": "worker", "index": index} for index in range(3)
    ]
    assert clusters[0]["cluster"] == clusters[2]["cluster"]
    assert len(set(clusters[0]["cluster"]["worker"])) == 3
    assert {threads for _, threads, _ in found} == {str(threads_of_each(3))}
    assert [files for _, _, files in found] == [["a", "b"]] * 3


def test_events_are_the_chiefs_and_the_log_names_the_worker(
    events: list[progress.Event], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    train("emit(kind='train', epoch=task); print('a line'); time.sleep(0.2)")
    assert [event["epoch"] for event in events if "epoch" in event] == [0]
    assert events[0]["text"].startswith("2 workers with ")
    assert events[-1]["text"].startswith("peak memory of the workers: ")
    lines = {(record.name, record.message) for record in caplog.records}
    assert {("worker 0", "a line"), ("worker 1", "a line")} <= lines


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(
    ("number", "cause"),
    [("SIGKILL", "killed by the system"), ("SIGTERM", "ended by SIGTERM")],
)
def test_a_worker_that_is_killed_ends_all(
    others: set[psutil.Process], index: int, number: str, cause: str
) -> None:
    """The others fail for want of it, which is not the cause."""
    with pytest.raises(UserError) as caught:
        train(
            f"""
if task == {index}:
    time.sleep(0.2)
    os.kill(os.getpid(), signal.{number})
time.sleep(0.3)
emit(kind="error", cause="Connection refused", remedy="")
sys.exit(1)
"""
        )
    assert caught.value.message.startswith(f"worker {index} of 2 was {cause}")
    assert "after the last finished epoch" in caught.value.remedy
    assert children() <= others


def test_a_worker_that_ignores_the_end_of_others_is_killed(
    others: set[psutil.Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.workers.local._GRACE_SECONDS", 0.2)
    with pytest.raises(UserError, match=r"worker 1 of 2 ended with exit code 3\."):
        train(
            """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if task == 1:
    time.sleep(0.2)
    sys.exit(3)
time.sleep(600)
"""
        )
    assert children() <= others


def test_the_error_of_a_worker_is_that_of_the_step(
    events: list[progress.Event],
) -> None:
    with pytest.raises(UserError, match="Training diverged. Lower it"):
        train(
            """
if task == 1:
    emit(kind="error", cause="Training diverged", remedy="Lower it")
    sys.exit(1)
time.sleep(600)
"""
        )
    assert not [event for event in events if event["kind"] == "error"]


def test_workers_start_again_with_other_ports_where_one_was_taken(
    tmp_path: Path,
) -> None:
    train(
        f"""
path = f"{tmp_path}/{{task}}"
started_before = os.path.exists(path)
open(path, "a").write(os.environ["TF_CONFIG"] + "\\n")
if task == 1 and not started_before:
    sys.exit({channel.PORT_TAKEN})
time.sleep(0.5)
"""
    )
    first, second = (tmp_path / "1").read_text().splitlines()
    assert json.loads(first)["cluster"] != json.loads(second)["cluster"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_a_step_that_is_killed(number: int, tmp_path: Path) -> None:
    script = f"""{START}
from trainer.processes import end_with_parent
end_with_parent()
open("{tmp_path}/" + str(os.getpid()), "w").close()
time.sleep(600)
"""
    step = f"""
import sys
from types import SimpleNamespace
from trainer.workers.local import train_locally
fn_args = SimpleNamespace(**{dict.fromkeys(FIELDS)!r})
train_locally(fn_args, 2, [sys.executable, "-c", {script!r}])
"""
    process = subprocess.Popen([sys.executable, "-c", step])
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert len(workers) == 2
    os.kill(process.pid, number)
    assert process.wait() == -number
    while any(map(psutil.pid_exists, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(psutil.pid_exists, workers))


def test_each_worker_sees_its_share_of_the_gpus() -> None:
    shares = divide_gpus(["0", "1", "GPU-8f6e", "3"], 2)
    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares] == ["0,1", "GPU-8f6e,3"]
    assert divide_gpus([], 3) == [{}, {}, {}]


@pytest.mark.parametrize(("gpus", "workers"), [(["0"], 2), (["0", "1", "2"], 2)])
def test_gpus_that_cannot_be_divided_evenly_are_an_error(
    gpus: list[str], workers: int
) -> None:
    with pytest.raises(UserError, match=f"train.workers is {workers}") as caught:
        divide_gpus(gpus, workers)
    assert "train.workers=1" in caught.value.remedy
