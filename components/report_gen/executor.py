"""Executor of ReportGen."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from tfx import types
from tfx.dsl.io import fileio
from tfx.utils import io_utils, path_utils

from components.report_gen.facts import Facts, StepTime
from components.report_gen.samples import sample_users
from components.single_artifacts import Artifacts, SingleArtifactExecutor
from pipeline.fingerprints import code_fingerprints
from pipeline.runs.run_state import RunState
from trainer import progress
from trainer.tuning.hyperparameters import merged

REPORT_FILE: Final = "report.html"
# The same code may do something else under other releases of these.
_PACKAGES: Final = ("tfx", "tensorflow", "keras")


class Executor(SingleArtifactExecutor):
    """Gathers what the other steps left, and writes the page."""

    def run(
        self, inputs: Artifacts, outputs: Artifacts, parameters: Mapping[str, Any]
    ) -> None:
        """Writes `report.html`.

        Args:
          inputs: See `ReportGenSpec`.
          outputs: `run_report`.
          parameters: `config`: JSON of the whole configuration.
        """
        from components.report_gen import page  # matplotlib takes a second to import

        facts = self._facts(inputs, json.loads(parameters["config"]))
        report = outputs["run_report"]
        path = os.path.join(report.uri, REPORT_FILE)
        io_utils.write_string_file(path, page.render(facts))
        report.set_int_custom_property("blessed", int(facts.evaluation["blessed"]))
        for name, value in page.headline_values(facts.evaluation).items():
            report.set_float_custom_property(name, value)

    def _facts(self, inputs: Artifacts, config: dict[str, Any]) -> Facts:
        model_path = path_utils.serving_model_path(inputs["model"].uri)
        model_info = _read_json(model_path, "assets.extra/model_info.json")
        pushed, live = inputs["pushed_model"], inputs["baseline_model"]
        reasons = inputs["infra_blessing"].get_string_custom_property("reasons")
        now = datetime.datetime.now(datetime.timezone.utc)
        summary = inputs["examples"].get_string_custom_property("summary")
        training = _read_json(inputs["model_run"].uri, "train_report.json")
        return Facts(
            run_id=(self._context and self._context.pipeline_run_id) or "",
            made_at=now.strftime("%Y-%m-%d %H:%M UTC"),
            config=merged(config, training["tuned"]),
            data=json.loads(summary or "{}"),
            gate=_read_json(inputs["data_report"].uri, "data_report.json"),
            training=training,
            evaluation=_read_json(inputs["evaluation"].uri, "retrieval_summary.json"),
            model_info=model_info,
            not_servable=json.loads(reasons or "[]"),
            pushed_version=pushed.get_string_custom_property("pushed_version") or None,
            live_version=live.get_string_custom_property("version") or None,
            users=sample_users(
                inputs["examples"], model_path, int(model_info["corpus_size"])
            ),
            steps=_steps() or _steps_in_containers(inputs),
            lineage=_lineage(inputs, is_tuned=bool(training["tuned"])),
        )


def _read_json(folder: str, name: str) -> dict[str, Any]:
    path = os.path.join(folder, name)
    content: dict[str, Any] = json.loads(io_utils.read_string_file(path))
    return content


def _steps() -> list[StepTime]:
    """The steps that ended before this one, where a runner on this machine tells."""
    state = RunState()
    path = os.environ.get(progress.ENV_VAR)
    for event in progress.EventReader(Path(path)).read() if path else ():
        state.update(event)
    return [
        StepTime(step.id, step.state, step.seconds, step.figure)
        for step in state.steps.values()
        if step.state in ("done", "cached")
    ]


def _steps_in_containers(inputs: Artifacts) -> list[StepTime]:
    """The steps that made what the report reads, by what they noted there."""
    seconds = {
        step: artifact.get_float_custom_property(progress.SECONDS_PROPERTY)
        for artifact in inputs.values()
        if (step := artifact.get_string_custom_property(progress.STEP_PROPERTY))
    }
    # A cached artifact tells the time of the step that once made it.
    return [StepTime(step, "done", took, "") for step, took in seconds.items()]


def _lineage(inputs: Artifacts, *, is_tuned: bool) -> list[tuple[str, str]]:
    """What the model was made of, in the order in which it was."""
    examples, schema = inputs["examples"], inputs["schema"]
    facts = [
        (
            "fingerprint of the ratings",
            examples.get_string_custom_property("input_fingerprint"),
        ),
        ("digest of the schema", _schema_digest(schema)),
        *((f"version of {name}", metadata.version(name)) for name in _PACKAGES),
    ]
    code = [
        (f"code of {node}", fingerprint)
        for node, fingerprint in code_fingerprints().items()
        if node != "Tuner" or is_tuned
    ]
    artifacts = [
        (f"{artifact.type_name} ({name})", artifact.uri)
        for name, artifact in inputs.items()
        if fileio.exists(artifact.uri)
    ]
    return [item for item in facts if item[1]] + code + artifacts


def _schema_digest(schema: types.Artifact) -> str:
    with fileio.open(io_utils.get_only_uri_in_dir(schema.uri), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
