"""`summary.json`: the outcome of a run, for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.runs.headlines import refusals
from pipeline.runs.run_state import RunState
from trainer.train_report import TRAIN_REPORT_FILE
from trainer.tuning.hyperparameters import SEARCH_FILE

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Summary:
    """The outcome of one run.

    Attributes:
      run_id: Name of the run's folder; sorts by start time.
      dataset: MovieLens edition.
      tfx_version: Version of TFX.
      state: "succeeded" also where the model was not blessed; "failed" otherwise.
      error: Why the run failed, in one line; None if it did not.
      steps: `id`, `state` (done, cached, failed or waiting) and `seconds` of each step.
      metrics: `candidate`, `baseline` (the live model; None if there is none) and
        `popularity`, each metric -> value; all None where the run did not get there.
      blessed: Whether the candidate passed every threshold.
      reasons: Why it was or was not blessed, and why it cannot be served if so.
      report: The HTML page about the run; None where the run did not get there.
      pushed_model: Folder of the model that the run pushed; None if it pushed none.
      tuning: What the Tuner found, as `components.tuner.executor` writes it; None where
        the run had no such step or did not get there.
      train_seconds: Time that the candidate's training took, also where it was cached.
      wall_seconds: Time from the start of the command to its end.
      peak_rss_mb: Largest resident memory of the child process tree, in MiB.
    """

    run_id: str
    dataset: str
    tfx_version: str
    state: Literal["succeeded", "failed"]
    error: str | None
    steps: list[dict[str, Any]]
    metrics: dict[str, Metrics | None]
    blessed: bool
    reasons: list[str]
    report: str | None
    pushed_model: str | None
    tuning: dict[str, Any] | None
    train_seconds: float | None
    wall_seconds: float
    peak_rss_mb: float

    def as_json(self) -> dict[str, Any]:
        """JSON has no NaN: a metric that is not finite is null."""
        content = asdict(self)
        for values in content["metrics"].values():
            for name, value in (values or {}).items():
                values[name] = value if math.isfinite(value) else None
        return content


@dataclass(frozen=True)
class Measured:
    """What only the process that watched the run knows; see `Summary`."""

    run_id: str
    dataset: str
    tfx_version: str
    wall_seconds: float
    peak_rss_mb: float


def build(measured: Measured, state: RunState) -> Summary:
    """Reads the artifacts of the run, cached ones included."""
    evaluation = _report(state, "evaluation", "retrieval_summary.json")
    training = _report(state, "model_run", TRAIN_REPORT_FILE)
    return Summary(
        run_id=measured.run_id,
        dataset=measured.dataset,
        tfx_version=measured.tfx_version,
        state="failed" if state.cause else "succeeded",
        error=state.error or None,
        steps=[
            {"id": step.id, "state": step.state, "seconds": round(step.seconds, 2)}
            for step in state.steps.values()
        ],
        metrics={
            name: evaluation.get(name)
            for name in ("candidate", "baseline", "popularity")
        },
        blessed=bool(evaluation.get("blessed", False)),
        reasons=[*evaluation.get("reasons", ()), *_refusals(state)],
        report=_html(state),
        pushed_model=_pushed_model(state),
        tuning=_report(state, "tuner_results", SEARCH_FILE) or None,
        train_seconds=training.get("train_seconds"),
        wall_seconds=round(measured.wall_seconds, 2),
        peak_rss_mb=round(measured.peak_rss_mb, 1),
    )


def _report(state: RunState, key: str, name: str) -> dict[str, Any]:
    output = state.output(key)
    return (output.read_json(name) if output else None) or {}


def _refusals(state: RunState) -> list[str]:
    blessings = [
        step.outputs["blessing"]
        for step in state.steps.values()
        if "blessing" in step.outputs
    ]
    return [f"not servable: {r}" for output in blessings for r in refusals(output)]


def _html(state: RunState) -> str | None:
    output = state.output("run_report")
    paths = Path(output.uri).glob("*.html") if output else ()
    return next((str(path) for path in paths), None)


def _pushed_model(state: RunState) -> str | None:
    output = state.output("pushed_model")
    if output is None or not output.properties.get("pushed"):
        return None
    path = Path(str(output.properties["pushed_destination"]))
    return str(path) if path.is_dir() else None
