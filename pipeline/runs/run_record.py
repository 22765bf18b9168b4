"""What is known of one run: its steps, their artifacts and what those contain.

The same record describes a run of the past, read from ML Metadata
(`pipeline.runs.metadata_store`), and one that goes on (`pipeline.local.live_run`).
"""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from components.evaluator import SUMMARY_FILE
from components.movielens_example_gen.data_summary import (
    SUMMARY_PROPERTY,
    DataSummary,
    parse_summary,
)
from components.pusher import AWAITING_APPROVAL, PUSHED_VERSION
from components.report_gen import FEEDBACK_FILE, REPORT_FILE
from components.servability_check import REASONS
from pipeline.runs.workspace import RunFiles
from trainer.errors import UserError
from trainer.train_report import TRAIN_REPORT_FILE
from trainer.tuning.hyperparameters import SEARCH_FILE, override

# Output key -> file of the artifact by which the run is judged.
_JUDGED_BY: Final = {
    "evaluation": SUMMARY_FILE,
    "model_run": TRAIN_REPORT_FILE,
    "tuner_results": SEARCH_FILE,
    "run_report": FEEDBACK_FILE,
}


@dataclass(frozen=True)
class Artifact:
    """One output artifact of a step.

    Attributes:
      uri: Its folder.
      properties: Properties and custom properties from ML Metadata.
      id: Its id there; None if not known.
    """

    uri: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    id: int | None = None

    def read_json(self, name: str) -> Any:
        """Content of a JSON file of the artifact; None if there is no such file.

        Raises:
          UserError: The file is not what its step wrote.
        """
        path = Path(self.uri) / name
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise damaged(path, str(error)) from error
        # Imported here: it takes pydantic, which the help of a command does not need.
        from pipeline.runs.record_shapes import wrong_shape

        if wrong := wrong_shape(name, content):
            raise damaged(path, wrong)
        return content

    def json_property(self, name: str) -> Any:
        """Value of a property that holds JSON; None if it is absent or empty.

        Raises:
          UserError: The property is no JSON.
        """
        text = self.properties.get(name)
        try:
            return json.loads(text) if text else None
        except (ValueError, RecursionError) as error:
            where = f"The property {name} of {self.uri} in ML Metadata"
            raise damaged(where, str(error)) from error


def damaged(what: object, cause: str) -> UserError:
    """The error of a record that was changed or cut off since a step wrote it."""
    return UserError(
        f"{what} is damaged: {cause}",
        "Restore it from a backup, or run the step again with `two-tower run "
        "--no-cache`.",
    )


Artifacts = Mapping[str, Artifact]


@dataclass
class Step:
    """One node of the pipeline in one run.

    Attributes:
      id: Node id.
      state: waiting, running, done, cached, failed or stopped.
      started: Unix time at which it began to run, in seconds.
      seconds: How long it took; 0 until it has ended.
      headline: One line about its result; empty if there is none.
      outputs: Output key -> artifact; empty until it is done or cached.
      parameters: Its execution properties, if read from ML Metadata.
      execution_id: Id of its execution in ML Metadata; None if not known.
      peak_rss_mb: Its peak resident memory, in MiB; 0 if that was not sampled.
    """

    id: str
    state: str = "waiting"
    started: float = 0.0
    seconds: float = 0.0
    headline: str = ""
    outputs: Artifacts = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    execution_id: int | None = None
    peak_rss_mb: float = 0.0


@dataclass
class RunRecord:
    """One run.

    Attributes:
      run_id: Its name, which begins with its start.
      started: UTC.
      steps: Node id -> step, in the order in which they run.
      is_running: Whether a process of it still runs.
      kept: What `judged_by` returned, for when the artifacts are gone.
    """

    run_id: str
    started: datetime.datetime
    steps: dict[str, Step] = field(default_factory=dict, repr=False)
    is_running: bool = False
    kept: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def state(self) -> str:
        """One word for the outcome.

        * `running`: it goes on.
        * `failed`: a step failed.
        * `succeeded`: the run came to its report.
        * `cleaned`: the same, but the report was removed since.
        * `tuned`: the run was a search, which ends with the Tuner.
        * `stopped`: the run ended anywhere else.
        """
        if self.is_running:
            return "running"
        if any(step.state == "failed" for step in self.steps.values()):
            return "failed"
        report = self.output("run_report")
        if report is not None:
            return "succeeded" if Path(report.uri).is_dir() else "cleaned"
        last = list(self.steps.values())[-1:]
        return "tuned" if last and "tuner_results" in last[0].outputs else "stopped"

    @property
    def running(self) -> Step | None:
        """The step that runs now; None before the first and after the last.

        Of several, the one that began last.
        """
        states = [step for step in self.steps.values() if step.state == "running"]
        return max(states, key=lambda step: step.started, default=None)

    @property
    def progress(self) -> str:
        """What a run that goes on does now."""
        step = self.running
        return f"it is running, at the step {step.id}" if step else "it is running"

    @property
    def config(self) -> dict[str, Any]:
        """The whole configuration, with the values that the Tuner chose.

        Read from the parameters of ReportGen: empty if the run did not come to it.
        """
        for step in self.steps.values():
            if "run_report" in step.outputs and "config" in step.parameters:
                given = Artifact(f"the step {step.id}", step.parameters)
                content: dict[str, Any] = given.json_property("config")
                return override(content, self.training.get("tuned", {}))
        return {}

    @property
    def data(self) -> DataSummary:
        """Summary of the data by MovieLensExampleGen; empty if that did not end."""
        examples = self.output("examples")
        text = examples.properties.get(SUMMARY_PROPERTY) if examples else None
        try:
            return parse_summary(text)
        except ValueError as error:
            raise damaged("The summary of the data in ML Metadata", str(error)) from (
                error
            )

    @property
    def evaluation(self) -> dict[str, Any]:
        """`retrieval_summary.json`; empty if there is none."""
        return self._json("evaluation", SUMMARY_FILE)

    @property
    def training(self) -> dict[str, Any]:
        """`train_report.json`; empty if there is none."""
        return self._json("model_run", TRAIN_REPORT_FILE)

    @property
    def tuning(self) -> dict[str, Any]:
        """`search.json` of the Tuner; empty if there is none."""
        return self._json("tuner_results", SEARCH_FILE)

    @property
    def feedback(self) -> dict[str, Any]:
        """`feedback.json` of ReportGen; empty if there is none."""
        return self._json("run_report", FEEDBACK_FILE)

    @property
    def judged_by(self) -> dict[str, Any]:
        """What a run was judged by: the content of the files above, by output key.

        Without the slices, which are most of an evaluation: this is kept of every run
        for ever.
        """
        found: dict[str, dict[str, Any]] = {}
        for key, name in _JUDGED_BY.items():
            with contextlib.suppress(UserError):  # damaged: there is nothing to keep
                content = self._json(key, name).items()
                found[key] = {k: v for k, v in content if k != "slices"}
        return {key: content for key, content in found.items() if content}

    @property
    def serving_faults(self) -> list[str]:
        """Why ServabilityCheck refused the model; empty if it did not."""
        found = (step.outputs.get("blessing") for step in self.steps.values())
        return [f for b in found if b for f in b.json_property(REASONS) or ()]

    @property
    def report_page(self) -> Path | None:
        """The HTML page about the run; None if there is none."""
        output = self.output("run_report")
        page = Path(output.uri) / REPORT_FILE if output else None
        return page if page and page.is_file() else None

    @property
    def version(self) -> str | None:
        """Version under which the model was pushed; None if it was not pushed."""
        pushed = self.output("pushed_model")
        version = pushed.properties.get(PUSHED_VERSION) if pushed else None
        return str(version) if version else None

    @property
    def awaits_approval(self) -> bool:
        """Whether its model waits for `two-tower approve`, and is still there."""
        pushed = self.output("pushed_model")
        is_left = pushed is not None and pushed.properties.get(AWAITING_APPROVAL) == 1
        return bool(is_left and pushed and Path(pushed.uri).is_dir())

    def output(self, key: str) -> Artifact | None:
        """The artifact under an output key that only one step has."""
        for step in self.steps.values():
            if key in step.outputs:
                return step.outputs[key]
        return None

    def _json(self, key: str, name: str) -> dict[str, Any]:
        output = self.output(key)
        return (output and output.read_json(name)) or self.kept.get(key, {})


def read_record(run_folder: Path) -> dict[str, Any]:
    """Reads what is kept of a run, without what is damaged."""
    try:
        content = json.loads(RunFiles(run_folder).record.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    found = content.items() if isinstance(content, dict) else ()
    from pipeline.runs.record_shapes import wrong_shape

    return {
        key: value
        for key, value in found
        if key in _JUDGED_BY and not wrong_shape(_JUDGED_BY[key], value)
    }
