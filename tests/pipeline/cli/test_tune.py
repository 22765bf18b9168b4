"""`two-tower tune`: what it shows, the file that it writes, what it refuses."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.cli.options import ConfigOptions
from pipeline.cli.tune import next_command, report_search
from pipeline.config.loading import load
from pipeline.local.run_view import RunView
from pipeline.local.session import follow
from pipeline.runs.workspace import Workspace
from tests.fixtures.command import error_line, two_tower

DECAYS = [0.5, 0.8]


def trial(number: int, rate: float, **changes: Any) -> dict[str, Any]:
    values = {"train.learning_rate": rate, "model.recency_decays": DECAYS}
    return {
        "trial": number,
        "values": values,
        "ndcg": 0.2,
        "standard_error": 0.03,
        "recall": 0.3,
        "queries": 178,
        "epochs": 9,
        "seconds": 12.345,
        "error": "",
        **changes,
    }


BEST = trial(2, 0.0123456, ndcg=0.25)
NONE = {"ndcg": None, "standard_error": None, "recall": None}
FAILED = trial(3, 1.0, **NONE, epochs=0, error="it diverged")
TRIALS = [BEST, trial(1, 0.005, ndcg=0.23), trial(4, 0.001, ndcg=0.1), FAILED]

# Emits the events of a search.
SEARCH = """
import json, os, sys
from pathlib import Path
from pipeline.local.events import record_events
from trainer.progress import emit
events = Path(sys.argv[1])
recording = record_events(events)
recording.__enter__()
trials = json.loads(sys.argv[2])
emit("pipeline", nodes=["Transform", "Tuner"])
emit("step", id="Transform", state="cached", seconds=0.1)
emit("step", id="Tuner", state="running")
for trial in sorted(trials, key=lambda t: t["trial"]):
    emit("trial", state="running", trials=9, **{**trial, "error": ""})
    for epoch in (1, 2):
        emit("train", epoch=epoch, epochs=2, loss=5 - epoch, seconds=epoch)
    emit("trial", state="failed" if trial["error"] else "done", trials=9, **trial)
folder = events.parent / "results"
folder.mkdir()
best = trials[0]["values"]
(folder / "search.json").write_text(json.dumps({"best": best, "trials": trials}))
outputs = {"tuner_results": {"uri": str(folder), "properties": {}}}
emit("step", id="Tuner", state="done", seconds=9.5, outputs=outputs)
"""


def search(
    folder: Path, trials: list[dict[str, Any]], terminal: bool = False
) -> tuple[str, str, dict[str, Any]]:
    """State of the run, what was shown, and the summary."""
    workspace = Workspace.open(folder / "ws", create=True)
    run = workspace.new_run()
    console = Console(
        file=io.StringIO(), width=200, highlight=False, force_terminal=terminal
    )
    config = load(
        (),
        [
            "tune.enabled=true",
            "tune.space={train.learning_rate: {min: 1e-4, max: 1, log: true}, "
            "model.recency_decays: {values: [[0.5, 0.8], [0.8]]}}",
        ],
    )
    changed = ("train.epochs=3", "train.learning_rate=0.1", "tune.trials=9")
    keys = list(config.tune.space)
    output = folder / "best.yaml"
    options = ConfigOptions(None, (Path("mine.yaml"),), changed)
    command = next_command(options, Path("my data"), output, keys)
    with workspace.lock() as lock:
        script = [sys.executable, "-c", SEARCH, str(run.events), json.dumps(trials)]
        ended = follow(
            script, run, lock, RunView(console), dataset="ml-tiny", tfx_version="1"
        )
    report_search(console, ended, run, keys=keys, output=output, command=command)
    assert isinstance(console.file, io.StringIO)
    return ended.state, console.file.getvalue(), json.loads(run.summary.read_text())


def test_a_log_has_one_line_for_each_trial(tmp_path: Path) -> None:
    state, shown, summary = search(tmp_path, TRIALS)
    assert state == "succeeded"
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    found = [line for line in lines if line.startswith("trial ")]
    values = "model.recency_decays [0.5,0.8]"
    assert found[0] == (
        "trial 1/9 ndcg 0.2300 ± 0.0300 12.3 s train.learning_rate 0.005, " + values
    )
    assert found[2] == (
        f"trial 3/9 failed: it diverged 12.3 s train.learning_rate 1, {values}"
    )
    assert not any(line.startswith("epoch") for line in lines)
    assert summary["tuning"]["best"] == BEST["values"]


def test_the_table_has_the_best_trial_first(tmp_path: Path) -> None:
    _, shown, _ = search(tmp_path, TRIALS)
    lines = [line.split() for line in shown.splitlines()]
    start = next(i for i, words in enumerate(lines) if words[-1:] == ["recency_decays"])
    table = lines[start : start + 5]
    assert table[0][-2:] == ["learning_rate", "recency_decays"]
    assert table[1] == [
        *("2", "0.2500", "0.0300", "0.3000", "9", "12.3"),
        *("0.01235", "[0.5,0.8]"),
    ]
    assert [row[1] for row in table[1:]] == ["0.2500", "0.2300", "0.1000", "failed"]
    assert "1 other trial is within its standard error, of 178 validation" in shown


def test_the_file_is_a_configuration_and_the_next_command_takes_it(
    tmp_path: Path,
) -> None:
    _, shown, _ = search(tmp_path, TRIALS)
    best = load([tmp_path / "best.yaml"])
    assert best.train.learning_rate == BEST["values"]["train.learning_rate"]
    assert best.model.recency_decays == tuple(DECAYS)
    assert best.tune == load().tune  # it does not search again
    text = (tmp_path / "best.yaml").read_text()
    assert "NDCG 0.2500" in text and "ml-tiny" in text
    # What was searched is not set again, for that would win over the file.
    assert (
        "two-tower run --set train.epochs=3 --data-dir 'my data' --config mine.yaml "
        f"--config {tmp_path / 'best.yaml'} --workspace {tmp_path / 'ws'}"
    ) in shown


def test_a_terminal_shows_the_trial_that_runs(tmp_path: Path) -> None:
    shown = search(tmp_path, [BEST], terminal=True)[1]
    assert "trial 2/9" in shown and "0.2500 ± 0.0300" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "tune.space={train.epohs: {values: [1]}}"], "Did you mean train.ep"),
        (["--set", "train.validation_queries=0"], "train.validation_queries is 0"),
        (["-o", "nowhere/best.yaml"], "is in a folder that does not exist"),
        (["--data-dir", "none"], "none is not a folder"),
    ],
)
def test_usage_errors_create_no_file(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = two_tower("tune", *arguments, cwd=tmp_path)
    assert message in error_line(done, exit_code=2)
    assert list(tmp_path.iterdir()) == []
