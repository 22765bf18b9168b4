"""`retrainings.jsonl` keeps every outcome, whatever is killed."""

from __future__ import annotations

import json
import math
import resource
import signal
import threading
from pathlib import Path

import pytest

from pipeline.retraining.outcome import OUTCOMES_FILE, Outcome, Status
from pipeline.retraining.outcome_log import append_outcome, read_outcomes

_OUTCOME = Outcome(
    status=Status.PUSHED,
    pipeline="two-tower",
    workspace="/ws",
    started="2026-03-01T00:00:00+00:00",
    seconds=31.5,
    span="span-7",
    reasons=["a gain"],
    metrics={"candidate": {"recall@10": 0.2}, "baseline": None},
    steps=[],
    rows={"read": 100},
)


def test_outcomes_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_outcomes(tmp_path) == []
    other = Outcome(Status.LOCKED, "two-tower", "/ws", "2026-03-02T00:00:00+00:00", 0.1)
    append_outcome(tmp_path, _OUTCOME)
    append_outcome(tmp_path, other)
    first, second = read_outcomes(tmp_path)
    assert first == _OUTCOME
    assert (second.status, second.reasons) == (Status.LOCKED, [])


def test_a_number_that_is_not_finite_is_null(tmp_path: Path) -> None:
    outcome = Outcome(
        Status.FAILED, "p", "/ws", "now", 1.0, metrics={"candidate": {"mrr": math.nan}}
    )
    append_outcome(tmp_path, outcome)
    assert read_outcomes(tmp_path)[0].metrics == {"candidate": {"mrr": None}}


@pytest.mark.parametrize("cut", [1, 20, -1])
def test_the_line_of_a_killed_process_is_ignored_and_then_removed(
    tmp_path: Path, cut: int
) -> None:
    append_outcome(tmp_path, _OUTCOME)
    path = tmp_path / OUTCOMES_FILE
    line = path.read_bytes().rstrip(b"\n")
    path.write_bytes(line + b"\n" + line[:cut])
    assert read_outcomes(tmp_path) == [_OUTCOME]
    append_outcome(tmp_path, _OUTCOME)
    assert read_outcomes(tmp_path) == [_OUTCOME, _OUTCOME]
    assert [json.loads(line) for line in path.read_text().splitlines()]


def test_a_whole_last_line_without_its_end_is_kept(tmp_path: Path) -> None:
    append_outcome(tmp_path, _OUTCOME)
    path = tmp_path / OUTCOMES_FILE
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    append_outcome(tmp_path, _OUTCOME)
    assert read_outcomes(tmp_path) == [_OUTCOME, _OUTCOME]


def test_lines_of_other_versions_and_of_a_power_cut_are_left_out(
    tmp_path: Path,
) -> None:
    append_outcome(tmp_path, _OUTCOME)
    path = tmp_path / OUTCOMES_FILE
    content = json.loads(path.read_text())
    lines = [
        json.dumps({**content, "field_of_tomorrow": 1}),
        json.dumps({**content, "status": "status of tomorrow"}),
        "[]",
        "\0" * 40,
        '{"status": "pushed"}',
    ]
    path.write_text("".join(f"{line}\n" for line in lines))
    assert read_outcomes(tmp_path) == [_OUTCOME]


def test_processes_that_append_at_once_lose_nothing(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=append_outcome, args=(tmp_path, _OUTCOME))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_outcomes(tmp_path) == [_OUTCOME] * 8


def test_an_outcome_that_does_not_fit_on_the_disk_leaves_the_file_as_it_was(
    tmp_path: Path,
) -> None:
    append_outcome(tmp_path, _OUTCOME)
    size = (tmp_path / OUTCOMES_FILE).stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
    try:
        with pytest.raises(OSError):
            append_outcome(tmp_path, _OUTCOME)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert (tmp_path / OUTCOMES_FILE).stat().st_size == size
    assert read_outcomes(tmp_path) == [_OUTCOME]
