"""The history of a workspace: what is read, and what counts as worse."""

from __future__ import annotations

import datetime
import fcntl
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from components.serving_directory.audit import Move, record
from pipeline.cli import main
from pipeline.retraining.outcome import Outcome, Status
from pipeline.retraining.outcome_log import append_outcome
from pipeline.runs.history import read_history
from pipeline.runs.history_entry import Entry
from pipeline.runs.history_page import render
from pipeline.runs.regressions import find_regressions
from pipeline.runs.workspace import RunFiles, Workspace

UTC = datetime.timezone.utc
STEPS = [
    {"id": "Trainer", "state": "done", "seconds": 20.0},
    {"id": "Evaluator", "state": "done", "seconds": 5.0},
    {"id": "Pusher", "state": "done", "seconds": 0.1},
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "workspace", create=True)


def values(value: float) -> dict[str, float]:
    return {"hit_rate@10": 1.8 * value, "ndcg@10": value}


def write_run(workspace: Workspace, day: int, **changes: Any) -> RunFiles:
    run_id = f"202603{day:02}T030000.000000Z"
    files = RunFiles(workspace.runs_dir / run_id)
    files.path.mkdir(parents=True)
    summary: dict[str, Any] = {
        "run_id": run_id,
        "state": "succeeded",
        "error": None,
        "steps": STEPS,
        "metrics": {
            "candidate": values(0.14),
            "baseline": values(0.13),
            "popularity": values(0.04),
        },
        "blessed": True,
        "reasons": ["ndcg@10 is 3.5x popularity"],
        "pushed_model": f"/serving/17723340{day:02}",
        "train_seconds": 18.0,
        "wall_seconds": 50.0,
    }
    files.summary.write_text(json.dumps({**summary, **changes}))
    evaluation = {
        "live_gain": values(0.01),
        "intervals": {"live_gain": {"ndcg@10": [0.004, 0.016]}},
    }
    training = {"base_version": "1772334000", "train_seconds": 18.0}
    record = {"evaluation": evaluation, "model_run": training}
    files.record.write_text(json.dumps(record))
    return files


def outcome(workspace: Workspace, day: int, **changes: Any) -> Outcome:
    content: dict[str, Any] = {
        "status": Status.PUSHED,
        "pipeline": "two-tower",
        "workspace": str(workspace.root),
        "started": f"2026-03-{day:02}T02:59:58+00:00",
        "seconds": 55.0,
        "span": str(day),
        "live_version": "1772334001",
        "metrics": {"candidate": values(0.14), "popularity": values(0.04)},
        "steps": STEPS,
        "train_seconds": 18.0,
    }
    return Outcome(**{**content, **changes})


def test_a_retraining_and_its_run_are_one_entry(workspace: Workspace) -> None:
    files = write_run(workspace, 1)
    append_outcome(workspace.root, outcome(workspace, 1, run_id=files.run_id))
    history = read_history(workspace.root)
    assert not history.faults
    [entry] = history.entries
    assert entry.is_retraining and entry.outcome == "pushed"
    assert (entry.span, entry.version) == ("1", "1772334001")
    assert entry.candidate["ndcg@10"] == 0.14
    assert entry.live["ndcg@10"] == 0.13
    assert entry.interval("live_gain", "ndcg@10") == (0.004, 0.016)
    assert entry.wall_seconds == 55  # of the command, not of the run alone
    assert entry.start == "warm" and entry.warm_start == "1772334000"


def test_runs_and_retrainings_without_a_run_stand_beside_each_other(
    workspace: Workspace,
) -> None:
    write_run(workspace, 3)
    write_run(workspace, 4, state="failed", error="the disk is full", metrics={})
    cached = [{**step, "state": "cached", "seconds": 0.0} for step in STEPS]
    write_run(workspace, 5, steps=cached)
    idle = outcome(workspace, 2, status=Status.NOTHING_TO_DO, metrics={}, steps=())
    append_outcome(workspace.root, idle)
    gone = outcome(workspace, 1, run_id="20260301T030000.000000Z")
    append_outcome(workspace.root, gone)  # `runs/` was emptied by hand
    entries = read_history(workspace.root).entries
    assert [entry.outcome for entry in entries] == [
        *("pushed", "nothing_to_do", "pushed", "failed", "nothing_to_do")
    ]
    assert [entry.is_retraining for entry in entries] == [True, True, *[False] * 3]
    assert entries[0].candidate["ndcg@10"] == 0.14 and entries[0].start == "cold"
    assert entries[3].reasons[0] == "the disk is full"
    assert entries[4].was_cached and entries[4].train_seconds is None


def test_an_approval_counts_as_a_push_and_a_rollback_has_its_own_line(
    workspace: Workspace,
) -> None:
    waiting = {"status": Status.AWAITING_APPROVAL, "live_version": None}
    for day in (1, 2):
        append_outcome(
            workspace.root, outcome(workspace, day, run_id=f"run {day}", **waiting)
        )
    run = write_run(workspace, 3, awaits_approval=True, pushed_model=None)
    serving_dir = workspace.serving_dir
    serving_dir.mkdir()
    record(str(serving_dir), Move("approve", ["7"], None, "7", run_id="run 1"))
    record(str(serving_dir), Move("approve", ["8"], "7", "8", run_id=run.run_id))
    record(str(serving_dir), Move("rollback", ["7"], "7", "6", reason="CTR fell"))
    first, second, third, last = read_history(workspace.root).entries
    assert (first.outcome, first.version) == ("pushed", "7")
    assert (second.outcome, second.version) == ("awaiting_approval", None)
    assert (third.outcome, third.version) == ("pushed", "8")
    assert (last.outcome, last.version) == ("rollback", "6")
    assert last.reasons[0].endswith(": CTR fell")


def test_a_run_that_goes_on_is_in_the_history(workspace: Workspace) -> None:
    write_run(workspace, 1)
    files = RunFiles(workspace.runs_dir / "20260302T030000.000000Z")
    files.path.mkdir()
    files.events.write_text(
        '{"kind": "pipeline", "time": 1.0, "nodes": ["Trainer"]}\n', encoding="utf-8"
    )
    with open(files.log, "w", encoding="utf-8") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        entries = read_history(workspace.root).entries
    assert sorted(entry.outcome for entry in entries) == ["pushed", "running"]


def test_damaged_records_are_named_and_the_rest_is_read(workspace: Workspace) -> None:
    write_run(workspace, 1).record.write_text("[")
    write_run(workspace, 2).summary.write_text('{"steps": [{"seconds": "long"}]}')
    write_run(workspace, 3).summary.write_bytes(b"\xff")
    append_outcome(workspace.root, outcome(workspace, 4))
    with open(workspace.root / "retrainings.jsonl", "a", encoding="utf-8") as file:
        file.write('{"status": "of a later version"}\n')
    odd = {"evaluation": {"intervals": {"live_gain": {"ndcg@10": [0.1]}}}}
    write_run(workspace, 5).record.write_text(json.dumps(odd))
    workspace.metadata_db.write_bytes(b"no database")
    history = read_history(workspace.root)
    assert [entry.started.day for entry in history.entries] == [1, 4, 5]
    faults = "\n".join(history.faults)
    assert "20260301T030000.000000Z/record.json is damaged" in faults
    assert "20260302T030000.000000Z/summary.json is damaged: steps.0.seconds" in faults
    assert "20260303T030000.000000Z/summary.json is damaged" in faults
    assert "retrainings.jsonl: 1 of its lines cannot be read" in faults
    assert "metadata.sqlite cannot be read or is damaged" in faults
    assert "20260305T030000.000000Z/record.json is damaged" in faults
    assert len(history.faults) == 6


def test_an_empty_workspace_has_an_empty_history(workspace: Workspace) -> None:
    history = read_history(workspace.root)
    assert not history.entries and not history.faults


def entry(day: int, **changes: Any) -> Entry:
    started = datetime.datetime(2026, 3, 1, tzinfo=UTC) + datetime.timedelta(days=day)
    return Entry(f"run {day}", started, "pushed", **changes)


def evaluated(
    day: int,
    value: float,
    interval: Sequence[float],
    gain: Sequence[float] | None = None,
    **changes: Any,
) -> Entry:
    """An entry with NDCG@10; `gain` is the interval of candidate minus live."""
    paired: Mapping[str, Any] = {}
    if gain is not None:
        middle = sum(gain) / 2
        paired = {"live": {"ndcg@10": value - middle}, "gain": {"ndcg@10": middle}}
    return entry(
        day,
        candidate={"ndcg@10": value},
        intervals={
            "candidate": {"ndcg@10": interval},
            "live_gain": gain and {"ndcg@10": gain},
        },
        **paired,
        **changes,
    )


def test_a_model_is_worse_if_the_paired_interval_is_below_zero() -> None:
    entries = [
        evaluated(1, 0.14, (0.12, 0.16)),
        evaluated(2, 0.13, (0.11, 0.15), (-0.012, 0.001)),  # could be noise
        evaluated(3, 0.13, (0.11, 0.15), (-0.012, -0.004)),
        evaluated(4, 0.13, (0.11, 0.15), (-0.012, -0.004), was_cached=True),
        # A harder span: far below the one before, and better than the live model.
        evaluated(5, 0.06, (0.04, 0.08), (0.001, 0.003)),
    ]
    [found] = find_regressions(entries)
    assert (found.entry, found.what, found.kind) == ("run 3", "ndcg@10", "quality")
    assert found.reason == (
        "ndcg@10 is 0.0080 below the live model's on the same users "
        "(difference -0.0120 to -0.0040)"
    )


def test_without_a_live_model_intervals_that_do_not_overlap_count() -> None:
    entries = [
        evaluated(1, 0.14, (0.12, 0.16)),
        evaluated(2, 0.11, (0.09, 0.13)),  # overlaps
        entry(3),  # failed before its evaluation
        evaluated(4, 0.06, (0.04, 0.08)),
        entry(5, candidate={"ndcg@10": 0.01}),  # no interval: nothing is said
    ]
    [found] = find_regressions(entries)
    assert found.entry == "run 4"
    assert "0.0400 to 0.0800 is below 0.0900 to 0.1300 of run 2" in found.reason


def times(seconds: Sequence[float], step: str = "Transform") -> list[Entry]:
    return [entry(day, steps={step: s}) for day, s in enumerate(seconds)]


@pytest.mark.parametrize(
    ("seconds", "worse"),
    [
        ([20, 21, 19, 20, 20, 22], []),
        ([20, 21, 19, 20, 20, 45], ["run 5"]),
        ([20, 21, 19, 20, 45], []),  # four times are too few to compare with
        ([0.1, 0.1, 0.1, 0.1, 0.1, 4.0], []),  # less than 5 s is no news
        ([20, 21, 19, 20, 20, 29], []),  # less than half more
        ([10, 60, 20, 90, 40, 95], []),  # as noisy as before
        ([20, 20, 90, 20, 20, 21, 45], ["run 6"]),  # one outlier hides nothing
        ([20] * 6 + [60] * 30, [f"run {day}" for day in range(6, 12)]),  # the new usual
    ],
)
def test_a_step_is_slow_by_median_and_deviation(
    seconds: list[float], worse: list[str]
) -> None:
    assert [found.entry for found in find_regressions(times(seconds))] == worse


def test_a_cold_training_is_compared_with_cold_ones() -> None:
    warm = [
        entry(day, steps={"Trainer": 9.0}, warm_start="1", train_seconds=8.0)
        for day in range(6)
    ]
    cold = entry(6, steps={"Trainer": 40.0}, train_seconds=38.0)
    assert not find_regressions([*warm, cold])


def test_the_page_shows_text_from_records_as_text() -> None:
    odd = "<script>alert(1)</script>\x1b[2J"
    entries = [
        evaluated(1, 0.14, (0.12, 0.16), span=odd, steps={odd: 20.0}, reasons=[odd]),
        evaluated(2, 0.10, (0.08, 0.12), (-0.03, -0.01), version="1772334001"),
        Entry("run 3", entry(3).started, "failed", reasons=[f'" onload="{odd}']),
    ]
    worse = {found.entry: [found] for found in find_regressions(entries)}
    page = render(entries, worse, [odd])
    assert "<script" not in page and "\x1b" not in page
    assert "&lt;script&gt;" in page and 'onload="' not in page
    assert "below the live model" in page
    assert page.count("<svg") == 2  # NDCG@10 and outcomes; one training has no line
    assert not re.search(r"""(src|href)=["']?(https?:)?//|url\((?!#)|@import""", page)
    assert render([], {}, [])  # a page also where there is nothing


def run_history(workspace: Workspace, *arguments: str) -> Result:
    command = ["history", "-w", str(workspace.root), *arguments]
    return CliRunner().invoke(main, command)


def test_the_command_shows_the_newest_and_what_is_since_a_day(
    workspace: Workspace, tmp_path: Path
) -> None:
    assert run_history(workspace).output == "No run was recorded yet.\n"
    for day in range(1, 8):
        slow = [{**STEPS[0], "seconds": 90.0 if day == 7 else 20.0}, *STEPS[1:]]
        write_run(workspace, day, steps=slow)
    write_run(workspace, 8, state="failed", error="the disk is full", metrics={})
    text = run_history(workspace, "--last", "3").output
    assert "2026-03-07" in text and "2026-03-06" in text and "2026-03-05" not in text
    assert "2026-03-08 03:00: failed: the disk is full" in text
    assert "Trainer took 90.0 s; the median of its last 6 times is 20.0 s" in text
    assert "  new model   ██" in text
    entries = json.loads(
        run_history(workspace, "--since", "2026-03-05", "--json").output
    )
    names = [entry["started"][:10] for entry in entries["entries"]]
    assert names == [f"2026-03-0{day}" for day in (5, 6, 7, 8)]
    assert [mark["what"] for mark in entries["entries"][-2]["worse"]] == ["Trainer"]
    page = tmp_path / "history.html"
    assert run_history(workspace, "--html", str(page)).exit_code == 0
    assert "Trainer took 90.0 s" in page.read_text("utf-8")
    refused = run_history(workspace, "--html", str(tmp_path / "no" / "page.html"))
    assert refused.exit_code == 1 and "cannot be written" in refused.output


def test_a_terminal_without_unicode_gets_a_chart_of_ascii(workspace: Workspace) -> None:
    write_run(workspace, 1)
    write_run(workspace, 2)
    runner = CliRunner(charset="ascii")
    result = runner.invoke(main, ["history", "-w", str(workspace.root)])
    assert result.output.isascii() and "  popularity  __" in result.output


def test_how_served_versions_did_is_shown_by_the_newest_run(
    workspace: Workspace,
) -> None:
    def served(value: float | None) -> list[dict[str, Any]]:
        estimate = {"value": value, "low": 0.1, "high": 0.9}
        metrics = {"hit_rate@10": estimate}
        group = {"version": 17, "label": "stable", "with_outcome": 12}
        return [{**group, "metrics": metrics}]

    write_run(workspace, 1, served=served(0.25))
    write_run(workspace, 2, served=served(0.5))
    write_run(workspace, 3)
    shown = run_history(workspace).output
    assert "version 17 (stable): hit_rate@10 0.5000 (0.1000 to 0.9000)" in shown
    assert "0.2500" not in shown
    entries = json.loads(run_history(workspace, "--json").output)["entries"]
    assert [len(entry["served"]) for entry in entries] == [1, 1, 0]
