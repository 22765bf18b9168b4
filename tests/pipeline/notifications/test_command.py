"""Commands, in real processes."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from pipeline.notifications.config import CommandConfig, NotifyConfig
from pipeline.notifications.sender import send
from pipeline.retraining.outcome import Outcome


def shell(script: str, seconds: float = 5.0) -> NotifyConfig:
    command = CommandConfig(argv=("sh", "-c", script), timeout_seconds=seconds)
    return NotifyConfig(commands=(command,))


def test_a_command_gets_the_outcome(outcome: Outcome, tmp_path: Path) -> None:
    script = f"cat > {tmp_path}/in.json; env > {tmp_path}/env"
    assert send(outcome, shell(script)) == []
    content = json.loads((tmp_path / "in.json").read_text())
    assert content["status"] == "pushed"
    assert content["metrics"]["candidate"] == {
        "recall@10": 0.2206,
        "ndcg@10": 0.1213,
        "mrr": None,
    }
    variables = (tmp_path / "env").read_text().splitlines()
    assert "TWO_TOWER_STATUS=pushed" in variables
    assert "TWO_TOWER_SPAN=2026-03-01" in variables
    title = "TWO_TOWER_MESSAGE=two-tower 2026-03-01: a new model is live"
    assert title in variables
    assert "TWO_TOWER_TEXT=- ndcg@10 0.1213 is 2.9x popularity" in variables


def test_a_command_that_reads_nothing_and_floods_is_fine(outcome: Outcome) -> None:
    flood = "head -c 20000000 /dev/zero; head -c 20000000 /dev/zero >&2"
    assert send(outcome, shell(flood)) == []


def test_a_command_that_fails_is_named_with_its_last_line(outcome: Outcome) -> None:
    script = "echo first >&2; printf 'no \\033[2J\\033route\\n' >&2; exit 7"
    (fault,) = send(outcome, shell(script))
    assert fault == "notify.commands.0: exit code 7: no  [2J route"


def test_a_command_that_hangs_is_killed_with_its_children(
    outcome: Outcome, tmp_path: Path
) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/child; trap '' TERM; wait"
    start = time.monotonic()
    (fault,) = send(outcome, shell(script, 0.3))
    assert time.monotonic() - start < 2
    assert "killed: no end within its time" in fault
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 5
    while _runs(child) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _runs(child)


def test_a_command_that_does_not_exist_is_a_fault(outcome: Outcome) -> None:
    command = CommandConfig(argv=("/no/such/program",))
    (fault,) = send(outcome, NotifyConfig(commands=(command,)))
    assert fault == ("notify.commands.0: cannot be started: No such file or directory")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"


def test_a_command_of_an_interrupted_retraining_is_killed(
    outcome: Outcome, tmp_path: Path
) -> None:
    script = f"echo $$ > {tmp_path}/pid; sleep 60"
    path = tmp_path / "pid"
    main = threading.get_ident()

    def interrupt() -> None:
        while not path.exists() or not path.read_text():
            time.sleep(0.01)
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        send(outcome, shell(script, 30.0))
    end = time.monotonic() + 5
    while _runs(int(path.read_text())) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _runs(int(path.read_text()))
