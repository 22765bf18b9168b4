from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from pipeline.local.live_run import LiveRun
from pipeline.runs import summary
from tests.fixtures.served_versions import make_model
from trainer.progress import Event

METRICS = {"hit_rate@10": 0.2, "mrr": float("nan")}


def write_json(path: Path, content: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return str(path.parent)


def step(name: str, state: str, **outputs: dict[str, Any]) -> Event:
    ended = {"seconds": 1.234, "figure": "", "outputs": outputs}
    return {"kind": "step", "id": name, "state": state, "time": 0.0, **ended}


def build(run: LiveRun, serving_dir: str = "nowhere") -> summary.Summary:
    return summary.build(
        run,
        run.error,
        serving_dir=serving_dir,
        dataset="ml-100k",
        tfx_version="1.16.0",
        wall_seconds=12.345,
        peak_rss_mb=800,
    )


def state_of(*events: Event) -> LiveRun:
    state = LiveRun("20260101T000000.000000Z")
    nodes = [event["id"] for event in events if event["kind"] == "step"]
    for event in ({"kind": "pipeline", "nodes": [*nodes, "Last"]}, *events):
        state.update(event)
    return state


def whole_run(folder: Path, pushed: int = 1) -> LiveRun:
    evaluation = write_json(
        folder / "evaluation" / "retrieval_summary.json",
        {
            "candidate": METRICS,
            "baseline": None,
            "popularity": {"hit_rate@10": 0.1},
            "blessed": True,
            "reasons": ["good"],
            "slices": [],
        },
    )
    training = write_json(
        folder / "run" / "train_report.json", {"loss": [2, 1], "train_seconds": 9.5}
    )
    make_model(folder / "serving" / "1")
    model = {"pushed": pushed} | ({"pushed_version": "1"} if pushed else {})
    return state_of(
        step("Trainer", "cached", model_run={"uri": training, "properties": {}}),
        step("Evaluator", "done", evaluation={"uri": evaluation, "properties": {}}),
        step("Pusher", "done", pushed_model={"uri": "x", "properties": model}),
    )


def test_content_of_the_file(tmp_path: Path) -> None:
    serving = tmp_path / "serving"
    content = build(whole_run(tmp_path), str(serving)).as_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == {
        "run_id": "20260101T000000.000000Z",
        "dataset": "ml-100k",
        "tfx_version": "1.16.0",
        "state": "succeeded",
        "error": None,
        "steps": [
            {"id": "Trainer", "state": "cached", "seconds": 1.23},
            {"id": "Evaluator", "state": "done", "seconds": 1.23},
            {"id": "Pusher", "state": "done", "seconds": 1.23},
            {"id": "Last", "state": "waiting", "seconds": 0.0},
        ],
        "metrics": {
            "candidate": {"hit_rate@10": 0.2, "mrr": None},
            "baseline": None,
            "popularity": {"hit_rate@10": 0.1},
        },
        "blessed": True,
        "reasons": ["good"],
        "report": None,
        "pushed_model": str(serving / "1"),
        "live_model": str(serving / "1"),
        "awaits_approval": False,
        "push": "pushed as version 1, which is live",
        "tuning": None,
        "train_seconds": 9.5,
        "wall_seconds": 12.35,
        "peak_rss_mb": 800,
        "served": None,
    }


def test_it_contains_what_the_tuner_found(tmp_path: Path) -> None:
    search = {"best": {"train.epochs": 3}, "trials": [{"recall": 0.2}]}
    results = write_json(tmp_path / "results" / "search.json", search)
    output = {"uri": results, "properties": {}}
    state = state_of(step("Tuner", "cached", tuner_results=output))
    assert build(state).tuning == search


def test_without_a_push_there_is_no_pushed_model(tmp_path: Path) -> None:
    found = build(whole_run(tmp_path, 0), str(tmp_path / "serving"))
    assert found.pushed_model is None
    assert found.push == "no model was pushed; version 1 is live"


def test_a_version_counts_as_pushed_only_while_it_is_there(tmp_path: Path) -> None:
    run, serving = whole_run(tmp_path), tmp_path / "serving"
    make_model(serving / "2")
    found = build(run, str(serving))
    assert found.pushed_model == str(serving / "1")
    assert found.push == "pushed as version 1; version 2 is live"
    shutil.rmtree(serving / "1")
    found = build(run, str(serving))
    assert (found.pushed_model, found.live_model) == (None, str(serving / "2"))
    assert "pushed as version 1, which is gone; version 2 is live" in found.push
    assert "two-tower run --push-again" in found.push


def test_a_serving_directory_that_cannot_be_read_does_not_hide_the_outcome(
    tmp_path: Path,
) -> None:
    run = whole_run(tmp_path)
    (tmp_path / "file").write_text("")
    found = build(run, str(tmp_path / "file"))
    assert (found.state, found.pushed_model) == ("succeeded", None)
    assert "cannot be read: Not a directory" in found.push


def test_serving_faults_are_among_the_reasons() -> None:
    properties = {"blessed": 0, "reasons": json.dumps(["it is slow"])}
    state = state_of(
        step("Check", "done", blessing={"uri": "x", "properties": properties})
    )
    assert build(state).reasons == ["not servable: it is slow"]


def test_a_failed_run_has_a_summary_with_its_error() -> None:
    state = state_of(
        step("Gate", "failed"),
        {
            "kind": "error",
            "step": "Gate",
            "cause": "rating 99",
            "remedy": "Correct it.",
        },
        {"kind": "error", "step": None, "cause": "Execution 7 failed", "remedy": ""},
    )
    found = build(state)
    assert (found.state, found.error) == ("failed", "rating 99. Correct it.")
    assert found.metrics == {"candidate": None, "baseline": None, "popularity": None}
    assert (found.blessed, found.train_seconds) == (False, None)


def test_the_running_step_fails_if_the_subprocess_dies() -> None:
    running: Event = {"kind": "step", "id": "Trainer", "state": "running", "time": 0.0}
    state = state_of(running)
    event = state.fail("the run was killed", "Free some memory.")
    assert (event["id"], event["state"]) == ("Trainer", "failed")
    found = build(state)
    assert found.steps[0]["state"] == "failed"
    assert found.error == "the run was killed. Free some memory."
