"""`summary.json`: the outcome of a run, for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.runs.run_record import RunRecord, Step
from pipeline.runs.served_models import Outcome, ServedModels
from trainer.errors import UserError

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Summary:
    """The outcome of one run.

    Attributes:
      run_id: Name of the run's folder; sorts by start time.
      dataset: MovieLens edition.
      tfx_version: Version of TFX.
      state: "failed" or "succeeded"; the latter also if the model was not blessed.
      error: Why the run failed, in one line; None if it did not.
      steps: `id`, `state` (done, cached, failed or waiting) and `seconds` of each step,
        and `peak_rss_mb` of those that ran for a tenth of a second or more.
      metrics: `candidate`, `baseline` (the live model; None if there is none) and
        `popularity`, each metric -> value; all None if the run was not evaluated.
      blessed: Whether the candidate passed every threshold.
      reasons: Why it was or was not blessed, and why it cannot be served if so.
      report: Path of the HTML page about the run; None if the run has none.
      pushed_model: Folder of the run's model where it is served, when the run ended;
        None if it was not pushed, or taken away since.
      live_model: Folder of the version that was live then; None if there was none.
      awaits_approval: Whether the model waits for `two-tower approve`.
      push: What became of the model, in a few words.
      tuning: What the Tuner found, as `components.tuner.executor` writes it; None if
        the run has no result of such a step.
      train_seconds: Time that the candidate's training took, even if it was cached.
      wall_seconds: Time from the start of the command to its end.
      peak_rss_mb: Peak resident memory of the subprocess and its children, in MiB.
      served: How the recommendations of each version did that were served before, the
        `groups` of `components.feedback.measure`; None if that was not measured.
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
    live_model: str | None
    awaits_approval: bool
    push: str
    tuning: dict[str, Any] | None
    train_seconds: float | None
    wall_seconds: float
    peak_rss_mb: float
    served: list[dict[str, Any]] | None = None

    def as_json(self) -> dict[str, Any]:
        """Content of the file; a metric that is not finite is null."""
        content = asdict(self)
        for values in content["metrics"].values():
            for name, value in (values or {}).items():
                values[name] = value if math.isfinite(value) else None
        return content


def build(
    run: RunRecord,
    error: str,
    *,
    serving_dir: str,
    dataset: str,
    tfx_version: str,
    wall_seconds: float,
    peak_rss_mb: float,
) -> Summary:
    """Summarises a run, reading its artifacts, cached ones included.

    Args:
      run: The run, when it has ended.
      error: Why it failed; empty if it did not.
      serving_dir: The served versions.
      dataset: See `Summary`, also for the following.
      tfx_version: Version of TFX.
      wall_seconds: Time from the start of the command to its end.
      peak_rss_mb: Peak resident memory, in MiB.
    """
    evaluation = run.evaluation
    pushed, live, outcome = _served(run, serving_dir)
    faults = [f"not servable: {fault}" for fault in run.serving_faults]
    return Summary(
        run_id=run.run_id,
        dataset=dataset,
        tfx_version=tfx_version,
        state="failed" if error else "succeeded",
        error=error or None,
        steps=[_outcome(step) for step in run.steps.values()],
        metrics={
            name: evaluation.get(name)
            for name in ("candidate", "baseline", "popularity")
        },
        blessed=bool(evaluation.get("blessed", False)),
        reasons=[*evaluation.get("reasons", ()), *faults],
        report=str(run.report_page) if run.report_page else None,
        pushed_model=pushed,
        live_model=live,
        awaits_approval=outcome.awaits_approval,
        push=outcome.text,
        tuning=run.tuning or None,
        train_seconds=run.training.get("train_seconds"),
        wall_seconds=round(wall_seconds, 2),
        peak_rss_mb=round(peak_rss_mb, 1),
        served=run.feedback.get("groups"),
    )


def _outcome(step: Step) -> dict[str, Any]:
    """See `Summary.steps`."""
    content = {"id": step.id, "state": step.state, "seconds": round(step.seconds, 2)}
    if step.peak_rss_mb:
        content["peak_rss_mb"] = round(step.peak_rss_mb, 1)
    return content


def _served(run: RunRecord, serving_dir: str) -> tuple[str | None, str | None, Outcome]:
    """Returns the folders of the run's model and the live one, and what became of it.

    A serving directory that cannot be read must not take the summary with it.
    """
    try:
        served = ServedModels(serving_dir)
        outcome = served.outcome(run)
    except UserError as error:
        return None, None, Outcome(None, None, False, str(error))
    pushed = served.folder(outcome.version) if outcome.version else None
    live = served.folder(served.live) if served.live else None
    return pushed, live, outcome
