"""A run that is over, as ML Metadata and its artifacts tell of it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.runs.headlines import Output
from trainer.train_report import TRAIN_REPORT_FILE
from trainer.tuning.hyperparameters import override


@dataclass(frozen=True)
class Artifact:
    """An artifact.

    Attributes:
      id: Of ML Metadata.
      type: Name of its type, such as "Model".
      key: Output key of the step that made it.
      output: Its folder and properties.
    """

    id: int
    type: str
    key: str
    output: Output


@dataclass(frozen=True)
class Step:
    """One execution of a step.

    Attributes:
      id: Node id.
      execution_id: Of ML Metadata.
      state: running, done, cached or failed.
      seconds: From its start to its end.
      parameters: Its execution properties.
      outputs: Output key -> artifact.
    """

    id: str
    execution_id: int
    state: str
    seconds: float
    parameters: Mapping[str, Any]
    outputs: Mapping[str, Artifact]


@dataclass(frozen=True)
class PastRun:
    """One run.

    Attributes:
      run_id: Its name, which begins with its start.
      started: UTC.
      steps: In the order in which they ran.
    """

    run_id: str
    started: datetime.datetime
    steps: tuple[Step, ...] = field(repr=False)

    @property
    def state(self) -> str:
        """Succeeded where it came to the report, failed, or stopped in between.

        Tuned where it was a search alone.

        Cleaned where it succeeded and its report was removed since.
        """
        states = {step.state for step in self.steps}
        if "failed" in states:
            return "failed"
        report = self.output("run_report")
        if report is None:
            is_search = bool(self.steps) and "tuner_results" in self.steps[-1].outputs
            return "tuned" if is_search else "stopped"
        return "succeeded" if Path(report.uri).is_dir() else "cleaned"

    @property
    def config(self) -> dict[str, Any]:
        """The whole configuration, with what the Tuner chose in place of its own.

        Empty where the run did not come to the report.
        """
        for step in self.steps:
            if "run_report" in step.outputs and "config" in step.parameters:
                content: dict[str, Any] = json.loads(step.parameters["config"])
                return override(content, self.training.get("tuned", {}))
        return {}

    @property
    def data(self) -> dict[str, Any]:
        """What MovieLensExampleGen says of the data; empty where it did not end."""
        examples = self.output("examples")
        text = examples.properties.get("summary", "{}") if examples else "{}"
        content: dict[str, Any] = json.loads(text)
        return content

    @property
    def evaluation(self) -> dict[str, Any]:
        """`retrieval_summary.json`; empty where there is none."""
        return self._json("evaluation", "retrieval_summary.json")

    @property
    def training(self) -> dict[str, Any]:
        """`train_report.json`; empty where there is none."""
        return self._json("model_run", TRAIN_REPORT_FILE)

    @property
    def version(self) -> str | None:
        """Version under which its model is served; None if it was not pushed."""
        pushed = self.output("pushed_model")
        version = pushed.properties.get("pushed_version") if pushed else None
        return str(version) if version else None

    def output(self, key: str) -> Output | None:
        """The artifact under an output key that only one step has."""
        for step in self.steps:
            if key in step.outputs:
                return step.outputs[key].output
        return None

    def _json(self, key: str, name: str) -> dict[str, Any]:
        output = self.output(key)
        return (output.read_json(name) if output else None) or {}
