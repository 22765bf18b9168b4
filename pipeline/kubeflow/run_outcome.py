"""What became of a run on Kubeflow, as an `Outcome` for notifications."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from components.evaluator import SUMMARY_FILE
from components.live_model import VERSION
from components.movielens_example_gen.data_summary import (
    SUMMARY_PROPERTY,
    parse_summary,
)
from components.movielens_example_gen.inputs.span_folders import span_name
from components.pusher import AWAITING_APPROVAL, LABEL, PUSHED_VERSION
from components.servability_check import REASONS
from components.serving_directory import live_version
from components.serving_directory.labels import CANARY
from pipeline.kubeflow import run_day
from pipeline.kubeflow.executor_input import Json
from pipeline.kubeflow.exit_step import EXIT_STEP, NotifySettings
from pipeline.retraining.outcome import Outcome, Status
from trainer.errors import UserError

_TRIGGER: Final = "Kubeflow"
_DATA_GATE: Final = "DataGate"
# States of a graph, and of steps, that ML Metadata and the server's API have.
ENDED_WELL: Final = frozenset({"COMPLETE", "CACHED", "SUCCEEDED", "SKIPPED"})
FAILED_STATES: Final = frozenset({"FAILED", "ERROR", "SYSTEM_ERROR"})
_DRIVER: Final = "-driver"


def of_result(settings: NotifySettings, inputs: Json, run_id: str) -> Outcome:
    """What became of the model of a run that came to its end.

    Args:
      settings: From the compiled file.
      inputs: Input key -> artifacts of the last step, as local files.
      run_id: The run; empty if it is not known.
    """
    # The launcher has copied it to this machine: it takes no TensorFlow to read it.
    path = Path(_first(inputs, "evaluation")["uri"], SUMMARY_FILE)
    evaluation = json.loads(path.read_text(encoding="utf-8"))
    pushed = _text(inputs, "pushed_model", PUSHED_VERSION)
    before = _text(inputs, "baseline_model", VERSION)
    faults = json.loads(_text(inputs, "infra_blessing", REASONS) or "[]")
    summary = parse_summary(_text(inputs, "examples", SUMMARY_PROPERTY))
    reasons = [*evaluation["reasons"], *(f"not servable: {fault}" for fault in faults)]
    status = Status.PUSHED if pushed else Status.NOT_BLESSED
    properties = _first(inputs, "pushed_model").get("metadata", {})
    if properties.get(AWAITING_APPROVAL):
        status = Status.AWAITING_APPROVAL
    elif evaluation["blessed"] and not faults and not pushed:
        # The step knows no more than this; its log does.
        status = Status.NOTHING_TO_DO
        reasons.append("Pusher did not push the model: its log says why")
    is_canary = pushed and properties.get(LABEL) == CANARY
    if is_canary:
        reasons.append(f"version {pushed} is the canary, beside the live model")
    spans = summary.get("spans", [0])
    return Outcome(
        status=status,
        pipeline=settings.pipeline,
        workspace="",
        started="",
        seconds=0.0,
        span=span_name(spans[-1], settings.span_pattern) if any(spans) else None,
        run_id=run_id or None,
        trigger=_TRIGGER,
        reasons=reasons,
        live_version=before if is_canary else pushed or before,
        previous_version=before,
        pushed_version=pushed or None,
        metrics={
            name: _numbers(evaluation[name])
            for name in ("candidate", "baseline", "popularity")
        },
        report=settings.run_page(run_id),
    )


def _numbers(values: Mapping[str, float | None] | None) -> dict[str, float] | None:
    if values is None:
        return None
    return {name: value for name, value in values.items() if value is not None}


def _first(inputs: Json, key: str) -> Json:
    return dict(inputs[key]["artifacts"][0])


def _text(inputs: Json, key: str, name: str) -> str | None:
    """A text property of an input; None if it is empty or missing."""
    return str(_first(inputs, key).get("metadata", {}).get(name) or "") or None


@dataclass(frozen=True)
class Ended:
    """How a run ended, as far as it is known.

    Attributes:
      state: State of the graph of all steps; empty if the server did not say.
      failed: Step -> cause, of those that failed; None if the server did not say.
    """

    state: str = ""
    failed: Mapping[str, str] | None = None

    @property
    def is_well(self) -> bool:
        """Whether no step failed."""
        return self.state in ENDED_WELL or (
            self.state not in FAILED_STATES
            and self.failed is not None
            and not self.failed
        )


def failed_steps(run: Json) -> dict[str, str]:
    """The steps that failed, in the order of their ends, with their causes.

    Args:
      run: A run, as the server's API has it.
    """
    details = run.get("run_details", {}).get("task_details", [])
    ended = sorted(details, key=lambda task: str(task.get("end_time", "")))
    found: dict[str, str] = {}
    for task in ended:
        name = str(task.get("display_name") or "").removesuffix(_DRIVER)
        is_step = re.fullmatch("[A-Z][A-Za-z]+", name) and name != EXIT_STEP
        if is_step and str(task.get("state")) in FAILED_STATES:
            cause = str(task.get("error", {}).get("message") or "")
            found[name] = cause or found.get(name, "")
    return found


def of_failure(
    settings: NotifySettings,
    ended: Ended,
    *,
    run_id: str = "",
    created: str = "",
    span: str = "",
) -> Outcome:
    """What is known of a run of which a step failed.

    Args:
      settings: From the compiled file.
      ended: How it ended.
      run_id: The run; empty if it is not known.
      created: When it was created, ISO 8601; another text if it is not known.
      span: As the run names it; empty if it is not known.
    """
    now = datetime.datetime.now(datetime.timezone.utc)
    since = run_day.moment(created)
    step = next(iter(ended.failed or ()), None)
    return Outcome(
        status=Status.REFUSED if step == _DATA_GATE else Status.FAILED,
        pipeline=settings.pipeline,
        workspace="",
        started=since.isoformat(timespec="seconds") if since else "",
        seconds=(now - since).total_seconds() if since else 0.0,
        span=_span(span, since) or None,
        run_id=run_id or None,
        trigger=_TRIGGER,
        reasons=list(_reasons(ended)),
        failed_step=step,
        live_version=_live(settings.serving_dir),
        report=settings.run_page(run_id),
    )


def _span(span: str, created: datetime.datetime | None) -> str:
    """The span that a relative one means, if that is known."""
    try:
        return run_day.fixed(span, created) if created else span
    except UserError:  # the first step has said so
        return span


def _reasons(ended: Ended) -> Iterator[str]:
    for step, cause in (ended.failed or {}).items():
        yield f"{step}: {cause or 'its log says why'}"
    if ended.failed is None:
        yield "which step failed is not known: the server did not answer"
    elif not ended.failed:
        yield "the server does not name the step that failed"
    if ended.state not in FAILED_STATES:
        state = f"it was {ended.state}" if ended.state else "there was none"
        yield f"how the run ended is not known from its last state: {state}"


def _live(serving_dir: str) -> str | None:
    """The version that is live; None if there is none, or a bucket would be asked."""
    if "://" in serving_dir:
        return None  # it takes TensorFlow to ask
    try:
        return live_version(serving_dir)
    except UserError:
        return None
