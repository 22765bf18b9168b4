"""What is known of a run, put together from its events."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from pipeline.runs.headlines import Output
from trainer.progress import Event


@dataclass
class Step:
    """One node of the pipeline.

    Attributes:
      id: Node id.
      state: waiting, running, done, cached or failed.
      started: Unix time at which it began to run, in seconds.
      seconds: How long it took; 0 until it has ended.
      figure: The figure that tells whether it went well.
      outputs: Output artifacts by key; empty until it is done or cached.
    """

    id: str
    state: str = "waiting"
    started: float = 0.0
    seconds: float = 0.0
    figure: str = ""
    outputs: dict[str, Output] = field(default_factory=dict)


@dataclass
class RunState:
    """Grows with each event of the run.

    Attributes:
      steps: Node id -> step, in the order in which they run.
      phase: What happens before the first step.
      failed_step: Id of the step that failed; None if none did or it was no step.
      cause: Why the run failed, in one line; empty while it has not.
      remedy: What to do about it; may be empty.
    """

    steps: dict[str, Step] = field(default_factory=dict)
    phase: str = ""
    failed_step: str | None = None
    cause: str = ""
    remedy: str = ""

    def update(self, event: Event) -> None:
        """Takes in one event; see `trainer.progress` for their fields."""
        kind = event["kind"]
        if kind == "phase":
            self.phase = event["text"]
        elif kind == "pipeline":
            self.steps = {node: Step(node) for node in event["nodes"]}
        elif kind == "step":
            self._update_step(event)
        elif kind == "error" and not self.cause:  # a step's comes before the run's
            self.failed_step = event["step"]
            self.cause = event["cause"]
            self.remedy = event["remedy"]

    @property
    def running(self) -> Step | None:
        """The step that runs now."""
        states = (step for step in self.steps.values() if step.state == "running")
        return next(states, None)

    @property
    def error(self) -> str:
        """Cause and remedy in one line; empty while nothing failed."""
        if not self.remedy:
            return self.cause
        return f"{self.cause.rstrip('.')}. {self.remedy}"

    def output(self, key: str) -> Output | None:
        """The artifact under an output key that only one step has."""
        for step in self.steps.values():
            if key in step.outputs:
                return step.outputs[key]
        return None

    def fail(self, cause: str, remedy: str) -> Event:
        """Records that the run ended without saying why.

        Returns:
          The event that it should have emitted.
        """
        running = self.running
        if running:
            running.state = "failed"
            running.seconds = time.time() - running.started
            self.failed_step = running.id
        self.cause, self.remedy = cause, remedy
        if running is None:
            return {"kind": "error", "step": None, "cause": cause, "remedy": remedy}
        return {"kind": "step", "id": running.id, "state": "failed"}

    def _update_step(self, event: Event) -> None:
        step = self.steps[event["id"]]
        step.state = event["state"]
        if step.state == "running":
            step.started = event["time"]
            return
        step.seconds = event["seconds"]
        step.figure = event.get("figure", "")
        step.outputs = {
            key: Output(**fields) for key, fields in event.get("outputs", {}).items()
        }
