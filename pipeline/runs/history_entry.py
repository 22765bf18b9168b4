"""An entry of the history, made from what is left of a retraining, run or rollback."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from components.serving_directory.audit import BY_HAND
from pipeline.retraining.outcome import Outcome, Status
from pipeline.runs.run_record import RunRecord
from trainer.errors import UserError

_RUN_ID_TIME: Final = "%Y%m%dT%H%M%S.%fZ"
_EVALUATOR: Final = "Evaluator"
Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Entry:
    """One retraining, one run that was started otherwise, or one rollback.

    Attributes:
      name: Id of the run; the start of a retraining that had none.
      started: UTC.
      outcome: A `Status`; of another run also `running`, `stopped` or `succeeded`; of
        what a person did `rollback`, `restore`, `promote` or `pin`. An approved
        model counts as pushed.
      is_retraining: Whether `two-tower retrain` started it.
      span: The newest span that it read; None if not known.
      candidate, live, popularity: Metric -> value, for the same queries; empty if it
        was not evaluated, and for `live` if nothing was live.
      intervals: `intervals` of `retrieval_summary.json`.
      gain: Metric -> value of candidate minus live, user by user.
      was_cached: Whether the evaluation was taken from the cache.
      train_seconds: Of the training, if it was not cached; None if there was none.
      wall_seconds: From the start of the command to its end; None if not known.
      version: Version that was pushed, or made live by a person; None if none was.
      warm_start: Version that training started from; None for a cold start.
      steps: Id of each step that ran to its end and was not cached -> seconds.
      reasons: Why it ended so, one line each.
      served: How recommendations did that were served before: `served` of `Summary`.
    """

    name: str
    started: datetime.datetime
    outcome: str
    is_retraining: bool = False
    span: str | None = None
    candidate: Metrics = field(default_factory=dict)
    live: Metrics = field(default_factory=dict)
    popularity: Metrics = field(default_factory=dict)
    intervals: Mapping[str, Any] = field(default_factory=dict)
    gain: Metrics = field(default_factory=dict)
    was_cached: bool = False
    train_seconds: float | None = None
    wall_seconds: float | None = None
    version: str | None = None
    warm_start: str | None = None
    steps: Mapping[str, float] = field(default_factory=dict)
    reasons: Sequence[str] = ()
    served: Sequence[Mapping[str, Any]] = ()

    @property
    def start(self) -> str | None:
        """How training started: "warm" or "cold"; None if nothing was trained."""
        if self.train_seconds is None:
            return None
        return "cold" if self.warm_start is None else "warm"

    @property
    def label(self) -> str:
        """When it started, and the span."""
        span = self.span or ""
        named = f"span {span}" if span[:1].isdigit() else span
        return f"{self.started:%Y-%m-%d %H:%M}" + (named and f" ({named})")

    def interval(self, group: str, metric: str) -> tuple[float, float] | None:
        """Returns the interval of a metric of `candidate`, `live_gain` and so on."""
        found = (self.intervals.get(group) or {}).get(metric)
        low, high = found or (None, None)
        return None if low is None or high is None else (low, high)


def of_retraining(outcome: Outcome, run: Entry | None) -> Entry:
    """Returns the entry of a retraining, with what its run adds."""
    run = run or _entry_of(outcome.run_id, outcome.started)
    pushed = outcome.pushed_version or outcome.live_version
    return dataclasses.replace(
        run,
        started=_time(outcome.started) or run.started,
        outcome=outcome.status.value,
        is_retraining=True,
        span=outcome.span,
        candidate=run.candidate or outcome.metrics.get("candidate") or {},
        live=run.live or outcome.metrics.get("baseline") or {},
        popularity=run.popularity or outcome.metrics.get("popularity") or {},
        train_seconds=run.train_seconds
        if run.steps
        else _train_seconds(outcome.train_seconds, outcome.steps),
        wall_seconds=outcome.seconds,
        version=pushed if outcome.status is Status.PUSHED else None,
        warm_start=outcome.warm_start or run.warm_start,
        steps=run.steps or _seconds(outcome.steps),
        reasons=outcome.reasons,
    )


def _entry_of(run_id: str | None, started: str) -> Entry:
    """An entry of which nothing more is known."""
    epoch = datetime.datetime.fromtimestamp(0, datetime.timezone.utc)
    time = _time(started) or (time_of_id(run_id) if run_id else None)
    return Entry(run_id or started, time or epoch, "unknown")


def of_summary(
    run_id: str,
    started: datetime.datetime,
    summary: Mapping[str, Any],
    record: Mapping[str, Any],
) -> Entry:
    """Returns the entry of a run.

    Args:
      run_id: Its id.
      started: UTC.
      summary: `summary.json`.
      record: `record.json`; empty if there is none.
    """
    metrics = summary.get("metrics") or {}
    pushed = summary.get("pushed_model")
    steps = summary.get("steps") or []
    ran = _seconds(steps)
    evaluation = record.get("evaluation", {})
    return Entry(
        run_id,
        started,
        _outcome(summary, ran),
        candidate=metrics.get("candidate") or {},
        live=metrics.get("baseline") or {},
        popularity=metrics.get("popularity") or {},
        intervals=evaluation.get("intervals") or {},
        gain=evaluation.get("live_gain") or {},
        was_cached=bool(metrics.get("candidate")) and _EVALUATOR not in ran,
        train_seconds=_train_seconds(summary.get("train_seconds"), steps),
        wall_seconds=summary.get("wall_seconds"),
        version=Path(pushed).name if pushed and "Pusher" in ran else None,
        warm_start=record.get("model_run", {}).get("base_version"),
        steps=ran,
        served=summary.get("served") or (),
        reasons=[
            *([summary["error"]] if summary.get("error") else []),
            *(summary.get("reasons") or []),
        ],
    )


def _outcome(summary: Mapping[str, Any], ran: Mapping[str, float]) -> str:
    """Returns how a run ended that no retraining started."""
    if summary.get("state") == "failed":
        return Status.FAILED.value
    if not ran:
        return Status.NOTHING_TO_DO.value
    if summary.get("pushed_model") and "Pusher" in ran:
        return Status.PUSHED.value
    if summary.get("awaits_approval"):
        return Status.AWAITING_APPROVAL.value
    if (summary.get("metrics") or {}).get("candidate") and not summary.get("blessed"):
        return Status.NOT_BLESSED.value
    return "succeeded"


def of_record(run: RunRecord) -> Entry:
    """Returns the entry of a run of which ML Metadata or its events are all there is.

    Raises:
      UserError: One of its files is damaged.
    """
    evaluation = run.evaluation
    steps = [dataclasses.asdict(step) for step in run.steps.values()]
    ran = _seconds(steps)
    pushed = run.version if "Pusher" in ran else None
    outcome = "succeeded" if run.state in ("cleaned", "tuned") else run.state
    if run.awaits_approval:
        outcome = Status.AWAITING_APPROVAL.value
    elif outcome == "succeeded" and evaluation:
        outcome = Status.PUSHED.value if pushed else outcome
        outcome = outcome if evaluation.get("blessed") else Status.NOT_BLESSED.value
    spans = []
    with contextlib.suppress(UserError):
        spans = run.data.get("spans", [])
    return Entry(
        run.run_id,
        run.started,
        outcome,
        span=str(spans[-1]) if any(spans) else None,
        candidate=evaluation.get("candidate") or {},
        live=evaluation.get("baseline") or {},
        popularity=evaluation.get("popularity") or {},
        intervals=evaluation.get("intervals") or {},
        gain=evaluation.get("live_gain") or {},
        was_cached=bool(evaluation) and _EVALUATOR not in ran,
        train_seconds=_train_seconds(run.training.get("train_seconds"), steps),
        wall_seconds=None,
        version=pushed,
        warm_start=run.training.get("base_version"),
        steps=ran,
        served=run.feedback.get("groups", ()),
    )


def of_changes(audit: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
    """Yields what people changed by hand of what is served."""
    for line in audit:
        started = _time(str(line.get("at")))
        if line.get("action") in BY_HAND and started is not None:
            words = (line.get("by"), line.get("reason"))
            yield Entry(
                f"{line['action']} {line['at']}",
                started,
                str(line["action"]),
                version=line.get("to"),
                reasons=[": ".join(str(word) for word in words if word)],
            )


def with_approval(entry: Entry, approved: Mapping[str, str]) -> Entry:
    """Returns an entry in which a model that was approved since counts as pushed."""
    version = approved.get(entry.name)
    if version is None or entry.outcome != Status.AWAITING_APPROVAL:
        return entry
    return dataclasses.replace(entry, outcome=Status.PUSHED.value, version=version)


def _seconds(steps: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Id -> seconds of the steps that ran to their ends and were not cached."""
    return {
        str(step.get("id")): float(step.get("seconds") or 0)
        for step in steps
        if step.get("state") == "done"
    }


def _train_seconds(value: Any, steps: Iterable[Mapping[str, Any]]) -> float | None:
    """Returns the time of the training, unless the cache had its result."""
    cached = {step.get("id") for step in steps if step.get("state") == "cached"}
    return None if value is None or "Trainer" in cached else float(value)


def _time(text: str) -> datetime.datetime | None:
    try:
        time = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=datetime.timezone.utc)


def time_of_id(run_id: str) -> datetime.datetime | None:
    """Returns the start of a run; None if the folder is not one of a run."""
    try:
        time = datetime.datetime.strptime(run_id, _RUN_ID_TIME)
    except ValueError:
        return None
    return time.replace(tzinfo=datetime.timezone.utc)
