"""A search for hyperparameters, and a run with its result."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.conftest import SETTINGS, Chain

pytestmark = pytest.mark.slow

SEARCH = (
    *("tune.trials=2", "tune.epochs=2"),
    "tune.space={train.learning_rate: {min: 0.001, max: 0.02, log: true}, "
    "model.recency_decays: {values: [[0.5], [0.9]]}}",
)


@pytest.fixture
def workshop(chain: Chain, tmp_path: Path) -> Chain:
    """A copy of the workspace: steps of the first run are cached in it too."""
    copy = shutil.copytree(chain.workspace, tmp_path / "ws", symlinks=True)
    return dataclasses.replace(chain, workspace=copy)


def test_a_search_and_a_run_with_its_result(workshop: Chain, tmp_path: Path) -> None:
    best_file = tmp_path / "best.yaml"
    settings = ("data.last_span=2026-03-08", *SETTINGS, *SEARCH)
    changes = [part for setting in settings for part in ("--set", setting)]
    done = workshop.two_tower(
        "tune", "--data-dir", str(workshop.spans), *changes, "-o", str(best_file)
    )
    assert done.exit_code == 0, done.output + done.errors
    # Nothing behind the Tuner ran, and nothing before it again.
    states = workshop.states()
    assert states.pop("Tuner") == "done"
    # It looks for the live version, in the folder of this workspace.
    assert states.pop("DataGate") == "done"
    assert "Trainer" not in states and set(states.values()) == {"cached"}
    tuning = workshop.summary()["tuning"]
    assert [trial["epochs"] for trial in tuning["trials"]] == [2, 2]
    scores = [trial["ndcg"] for trial in tuning["trials"]]
    assert scores == sorted(scores, reverse=True)
    best = tuning["best"]
    assert yaml.safe_load(best_file.read_text()) == {
        "train": {"learning_rate": best["train.learning_rate"]},
        "model": {"recency_decays": best["model.recency_decays"]},
    }
    for trial in (1, 2):
        assert f"trial {trial}/2" in done.output

    # The same search within the whole graph is cached, and feeds the Trainer.
    changes = [part for text in SEARCH for part in ("--set", text)]
    done = workshop.run("--set", "tune.enabled=true", *changes)
    assert done.exit_code == 0, done.output + done.errors
    assert workshop.states()["Tuner"] == "cached"
    assert workshop.states()["Trainer"] == "done"
    summary = workshop.summary()
    assert summary["tuning"] == tuning
    report = Path(summary["report"]).read_text("utf-8")
    assert f"learning_rate: {best['train.learning_rate']}" in report
    history = workshop.two_tower("runs", "--json").output
    states_of_runs = [run["state"] for run in json.loads(history)["runs"]]
    assert states_of_runs[-2:] == ["tuned", "succeeded"]
    if summary["pushed_model"]:
        version = Path(summary["pushed_model"]).name
        steps = json.loads(workshop.two_tower("lineage", version, "--json").output)
        made_of = {step["step"]: step["made_of"] for step in steps["steps"]}
        for step in ("Tuner", "Trainer"):
            assert made_of[step]["learning_rate"] == best["train.learning_rate"]
