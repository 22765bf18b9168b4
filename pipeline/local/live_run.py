"""A run that goes on, put together from its progress events."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass, field

from pipeline.local.events import EventReader
from pipeline.runs.run_record import Artifact, RunRecord, Step
from pipeline.runs.workspace import RunFiles
from trainer.progress import Event


@dataclass
class LiveRun(RunRecord):
    """Grows with each event of the run.

    Attributes:
      cause: Why the run failed, in one line; empty while it has not.
      remedy: What to do about it; may be empty.
    """

    started: datetime.datetime = field(
        default_factory=lambda: datetime.datetime.now(datetime.timezone.utc)
    )
    cause: str = ""
    remedy: str = ""

    def update(self, event: Event) -> None:
        """Applies one event; see `trainer.progress` for their fields."""
        kind = event["kind"]
        if kind == "pipeline":
            self.steps = {node: Step(node) for node in event["nodes"]}
        elif kind == "step":
            self._update_step(event)
        elif kind == "error" and not self.cause:  # a step's comes before the run's
            self.cause = event["cause"]
            self.remedy = event["remedy"]

    @classmethod
    def of(cls, files: RunFiles) -> LiveRun:
        """Reads a run that goes on from the events that it has emitted so far."""
        run = cls(files.run_id, is_running=True)
        for event in EventReader(files.events).read():
            if event["kind"] == "phase":
                run.started = datetime.datetime.fromtimestamp(
                    event["time"], datetime.timezone.utc
                )
            run.update(event)
        return run

    @property
    def error(self) -> str:
        """Cause and remedy in one line; empty while nothing failed."""
        if not self.remedy:
            return self.cause
        return f"{self.cause.rstrip('.')}. {self.remedy}"

    def fail(self, cause: str, remedy: str) -> Event:
        """Marks the run as failed after its subprocess ended in the middle of a step.

        An earlier failure stays the cause: beside the step that failed another may
        have gone on.

        Returns:
          The event that the subprocess should have emitted.
        """
        if not self.cause:
            self.cause, self.remedy = cause, remedy
        running = self.running
        if running is None:
            return {"kind": "error", "step": None, "cause": cause, "remedy": remedy}
        for step in self.steps.values():
            if step.state == "running":
                step.state = "failed"
                step.seconds = time.time() - step.started
        return {"kind": "step", "id": running.id, "state": "failed"}

    def _update_step(self, event: Event) -> None:
        step = self.steps.setdefault(event["id"], Step(event["id"]))
        step.state = event["state"]
        if step.state == "running":
            step.started = event["time"]
            return
        step.seconds = event["seconds"]
        step.headline = event.get("figure", "")
        step.outputs = {
            key: Artifact(**fields) for key, fields in event.get("outputs", {}).items()
        }
