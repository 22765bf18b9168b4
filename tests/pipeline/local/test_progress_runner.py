"""The runner on real TFX, Beam and ML Metadata."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.engines.config import EngineConfig
from pipeline.local.events import EventReader, record_events
from pipeline.local.live_run import LiveRun
from pipeline.runs.run_record import Artifact
from trainer.progress import Event

pytestmark = pytest.mark.slow


def noted(artifact: Artifact | None) -> list[Any]:
    """Step and run that an artifact's properties name, and whether there is a time."""
    assert artifact is not None
    properties = artifact.properties
    seconds = properties["step_seconds"]
    return [properties["step"], properties["step_run"], 0 < seconds < 60]


class Workshop:
    """Runs the toy pipeline and keeps the events of the last run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self._path = folder / "events.jsonl"
        self._reader = EventReader(self._path)

    def run(
        self,
        limit: int,
        run_id: str,
        enable_cache: bool = True,
        engine: EngineConfig | None = None,
        background: str = "",
    ) -> LiveRun:
        from pipeline.local.progress_runner import ProgressDagRunner
        from tests.fixtures.toy_pipeline import parallel_pipeline, toy_pipeline

        make = parallel_pipeline if background else toy_pipeline
        pipeline = make(self.folder, limit)
        pipeline.enable_cache = enable_cache
        runner = ProgressDagRunner(run_id, engine=engine, background=[background])
        try:
            with record_events(self._path):
                runner.run(pipeline)
        finally:
            self.events = list(self._reader.read())
        return self.state()

    def state(self) -> LiveRun:
        state = LiveRun("")
        for event in self.events:
            state.update(event)
        return state


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def states(state: LiveRun) -> list[str]:
    return [step.state for step in state.steps.values()]


def test_steps_run_once_and_are_cached_after(workshop: Workshop) -> None:
    first = workshop.run(limit=9, run_id="run-1")
    assert list(first.steps) == ["Numbers", "Gate", "Train"]
    assert states(first) == ["done"] * 3
    kinds = [(e["id"], e["state"]) for e in workshop.events if e["kind"] == "step"]
    assert kinds[:4] == [
        ("Numbers", "running"),
        ("Numbers", "done"),
        ("Gate", "running"),
        ("Gate", "done"),
    ]
    headlines = [step.headline for step in first.steps.values()]
    assert headlines == ["rows: train 5", "no problems", "version 7"]

    second = workshop.run(limit=9, run_id="run-2")
    assert states(second) == ["cached"] * 3
    assert [step.headline for step in second.steps.values()] == headlines
    # A cached step's outputs are those of the run that made them.
    for key in ("examples", "report", "model"):
        assert second.output(key) == first.output(key)

    for key, step in (("examples", "Numbers"), ("report", "Gate"), ("model", "Train")):
        assert noted(second.output(key)) == [step, "run-1", True]

    changed = workshop.run(limit=8, run_id="run-3")
    assert states(changed) == ["cached", "done", "done"]

    forced = workshop.run(limit=8, run_id="run-4", enable_cache=False)
    assert states(forced) == ["done"] * 3


def test_an_engine_is_used_and_is_no_part_of_the_cache_key(workshop: Workshop) -> None:
    engine = EngineConfig(runner="portable", master="embed", environment="loopback")
    made = workshop.run(limit=9, run_id="run-1", engine=engine)
    report = made.output("report")
    assert report is not None
    assert report.properties["runner"] == "PortableRunner"
    assert states(workshop.run(limit=9, run_id="run-2")) == ["cached"] * 3


def test_a_failure_in_a_beam_worker_is_reported_in_one_line(workshop: Workshop) -> None:
    with pytest.raises(Exception, match="3 is above 2"):
        workshop.run(limit=2, run_id="run-1")
    state = workshop.state()
    assert states(state) == ["done", "failed", "waiting"]
    assert state.error == "3 is above 2. Raise the limit."
    # What failed is not in the cache; what went well is.
    assert states(workshop.run(limit=9, run_id="run-2")) == ["cached", "done", "done"]


def test_a_step_in_the_background_runs_beside_others_and_ends_if_they_fail(
    workshop: Workshop,
) -> None:
    with pytest.raises(Exception, match="5 is above 4"):
        workshop.run(limit=4, run_id="run-1", background="Waits")
    failed = workshop.state()
    assert states(failed) == ["done", "done", "failed", "waiting"]
    assert failed.error == "5 is above 4. Raise the limit."

    (workshop.folder / "flag").unlink()
    again = workshop.run(
        limit=5, run_id="run-2", background="Waits", enable_cache=False
    )
    assert list(again.steps) == ["Numbers", "Waits", "Writes", "Train"]
    assert states(again) == ["done"] * 4
    order = [(e["id"], e["state"]) for e in workshop.events if e["kind"] == "step"]
    assert order[2:4] == [("Waits", "running"), ("Writes", "running")]
    assert order[6:] == [("Train", "running"), ("Train", "done")]


@pytest.mark.parametrize(
    "fails, ran, message",
    [
        ("Check", ["Check", "Evaluate"], "Check failed"),  # and no node that reads it
        ("Evaluate", ["Check", "Evaluate"], "Evaluate failed"),
        ("both", ["Check", "Evaluate"], "Evaluate failed"),
        ("", ["Check", "Evaluate", "Push"], ""),
        ("until Check", ["Check"], "Check failed"),
    ],
)
def test_a_failure_in_the_background_ends_the_run(
    fails: str, ran: list[str], message: str
) -> None:
    from pipeline.local.progress_runner import ProgressDagRunner

    started, evaluates = [], threading.Event()

    class Runner(ProgressDagRunner):
        def _run_step(self, pipeline: Any, node: Any) -> None:
            name = node.node_info.id
            started.append(name)
            if name == "Evaluate":
                evaluates.set()
            elif name == "Check" and not fails.startswith("until"):
                assert evaluates.wait(10)
            if name in fails or fails == "both":
                raise ValueError(f"{name} failed")

    nodes = [
        SimpleNamespace(node_info=SimpleNamespace(id=name), upstream_nodes=upstream)
        for name, upstream in (
            ("Check", ["Train"]),
            ("Evaluate", ["Train"]),
            ("Push", ["Check", "Evaluate"]),
        )
    ]
    if fails.startswith("until"):
        nodes = nodes[:1]
    runner = Runner("run-1", background=["Check"])
    if message:
        with pytest.raises(ValueError, match=message):
            runner._run_steps(None, nodes)
    else:
        runner._run_steps(None, nodes)
    assert sorted(started) == sorted(ran)


def test_a_step_whose_input_is_missing_fails(workshop: Workshop) -> None:
    """The stock runner only logs that, and goes on."""
    from tfx.dsl.components.common.resolver import Resolver
    from tfx.dsl.input_resolution.strategies import latest_artifact_strategy
    from tfx.types import Channel, standard_artifacts

    from pipeline.local.progress_runner import ProgressDagRunner, StepError
    from tests.fixtures.toy_pipeline import Train, make_pipeline

    missing = Resolver(
        strategy_class=latest_artifact_strategy.LatestArtifactStrategy,
        schema=Channel(type=standard_artifacts.Schema),
    )
    train = Train(report=missing.outputs["schema"])
    with pytest.raises(StepError, match="inputs"):
        ProgressDagRunner("run-1").run(make_pipeline(workshop.folder, [missing, train]))
