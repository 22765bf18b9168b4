"""ReportGen: one HTML page about a run, whether its model is blessed or not."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from importlib import metadata
from typing import Any, Final, TypeAlias

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import io_utils, path_utils

from components.data_gate import DATA_REPORT_FILE
from components.data_gate.component import DataReport
from components.evaluator.retrieval_summary import read_summary
from components.live_model import VERSION
from components.movielens_example_gen.data_summary import (
    FINGERPRINT_PROPERTY,
    SUMMARY_PROPERTY,
    parse_summary,
)
from components.pusher import AWAITING_APPROVAL, PUSHED_VERSION
from components.report_gen import BLESSED, FEEDBACK_FILE, REPORT_FILE
from components.report_gen.facts import Facts
from components.report_gen.samples import sample_users
from components.report_gen.served import read_feedback
from components.report_gen.step_times import RUN_PROPERTY, read_step_times
from components.servability_check import REASONS
from trainer.errors import UserError
from trainer.serving_contract import MODEL_INFO_FILE
from trainer.train_report import TRAIN_REPORT_FILE
from trainer.tuning.hyperparameters import override

_LOG: Final = logging.getLogger(__name__)
# Input key -> type, in the order in which the page lists the steps that make them.
_INPUTS: Final = {
    "examples": standard_artifacts.Examples,
    "statistics": standard_artifacts.ExampleStatistics,
    "schema": standard_artifacts.Schema,
    "anomalies": standard_artifacts.ExampleAnomalies,
    "data_report": DataReport,
    "transform_graph": standard_artifacts.TransformGraph,
    "tuner_results": standard_artifacts.TunerResults,
    "base_model": standard_artifacts.Model,
    "model": standard_artifacts.Model,
    "model_run": standard_artifacts.ModelRun,
    "baseline_model": standard_artifacts.Model,
    "evaluation": standard_artifacts.ModelEvaluation,
    "infra_blessing": standard_artifacts.InfraBlessing,
    "pushed_model": standard_artifacts.PushedModel,
}
_Artifacts: TypeAlias = Mapping[str, types.Artifact]
# Libraries whose release can change the model.
_PACKAGES: Final = ("tfx", "tensorflow", "keras")


class RunReport(types.Artifact):
    """The page: the file `report.html`.

    For its custom properties see `components.report_gen`.
    """

    # Kubeflow's runner finds the class again by this name: see `components`.
    TYPE_NAME = "components.RunReport"


class ReportGenSpec(types.ComponentSpec):
    """Parameters, inputs and output of ReportGen."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "code_hashes": component_spec.ExecutionParameter(type=str),
        "impressions_fingerprint": component_spec.ExecutionParameter(
            type=str, optional=True
        ),
    }
    INPUTS = {
        key: component_spec.ChannelParameter(type=kind, optional=key == "tuner_results")
        for key, kind in _INPUTS.items()
    }
    OUTPUTS = {"run_report": component_spec.ChannelParameter(type=RunReport)}


class Executor(base_executor.BaseExecutor):
    """Collects the results of all other steps and writes the page."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `report.html`.

        Args:
          input_dict: One artifact for each key of `ReportGenSpec.INPUTS`;
            `tuner_results` may be missing.
          output_dict: `run_report`.
          exec_properties: `config`: JSON of the whole configuration. `code_hashes`:
            JSON of node id -> fingerprint of the code that it ran with.
            `impressions_fingerprint`, if impressions are looked at, is only part of the
            cache key.
        """
        from components.report_gen import page  # matplotlib takes a second to import

        inputs = {
            key: artifact_utils.get_single_instance(input_dict[key])
            for key in _INPUTS
            if input_dict.get(key)
        }
        report = artifact_utils.get_single_instance(output_dict["run_report"])
        # Local runners pass the id of the run in the context, Kubeflow's on the output.
        run_id = self._context and self._context.pipeline_run_id
        run_id = run_id or report.get_string_custom_property(RUN_PROPERTY)
        try:
            facts = _collect_facts(inputs, exec_properties, run_id)
            path = os.path.join(report.uri, REPORT_FILE)
            io_utils.write_string_file(path, page.render(facts))
            if facts.feedback is not None:
                path = os.path.join(report.uri, FEEDBACK_FILE)
                io_utils.write_string_file(path, json.dumps(facts.feedback, indent=2))
        except Exception as error:
            raise _report_error(error, inputs["pushed_model"]) from None
        report.set_int_custom_property(BLESSED, int(facts.evaluation["blessed"]))
        for name, value in page.headline_values(facts.evaluation).items():
            report.set_float_custom_property(name, value)


class ReportGen(base_component.BaseComponent):
    """Writes the report of a run.

    It runs last and reads the outputs of all other steps, so the page also says why a
    model was not blessed, not servable or not pushed.
    """

    SPEC_CLASS = ReportGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        *,
        config: str,
        code_hashes: str = "{}",
        impressions_fingerprint: str | None = None,
        **inputs: types.BaseChannel | None,
    ) -> None:
        """Makes the node.

        Args:
          config: JSON of the configuration, as shown on the page.
          code_hashes: JSON of node id -> fingerprint of its code, for the lineage.
          impressions_fingerprint: Of the folder `feedback.impressions`, so that new
            impressions make a new report; None if that is not set.
          **inputs: The channels that `ReportGenSpec.INPUTS` names.
        """
        spec = ReportGenSpec(
            **inputs,
            config=config,
            code_hashes=code_hashes,
            impressions_fingerprint=impressions_fingerprint,
            run_report=types.Channel(type=RunReport),
        )
        super().__init__(spec=spec)


def _report_error(error: Exception, pushed: types.Artifact) -> Exception:
    """Returns what to raise; it is said that what was pushed is live all the same."""
    version = pushed.get_string_custom_property(PUSHED_VERSION)
    live = "No model was pushed."
    if version:
        live = f"Version {version} was pushed before and is live."
    _LOG.error("The report could not be made. %s", live, exc_info=error)
    if isinstance(error, OSError):  # such as a full disk, which the runner explains
        return error
    cause = f"the report could not be made: {type(error).__name__}: {error}"
    return UserError(cause, f"{live} The log has more.")


def _collect_facts(
    inputs: _Artifacts, parameters: Mapping[str, Any], run_id: str
) -> Facts:
    examples = inputs["examples"]
    model_path = path_utils.serving_model_path(inputs["model"].uri)
    model_info = _read_json(model_path, MODEL_INFO_FILE)
    pushed, live = inputs["pushed_model"], inputs["baseline_model"]
    reasons = inputs["infra_blessing"].get_string_custom_property(REASONS)
    now = datetime.datetime.now(datetime.timezone.utc)
    training = _read_json(inputs["model_run"].uri, TRAIN_REPORT_FILE)
    config = override(json.loads(parameters["config"]), training["tuned"])
    return Facts(
        run_id=run_id,
        made_at=now.strftime("%Y-%m-%d %H:%M UTC"),
        config=config,
        data=parse_summary(examples.get_string_custom_property(SUMMARY_PROPERTY)),
        gate=_read_json(inputs["data_report"].uri, DATA_REPORT_FILE),
        training=training,
        evaluation=read_summary(inputs["evaluation"].uri),
        model_info=model_info,
        not_servable=json.loads(reasons or "[]"),
        pushed_version=pushed.get_string_custom_property(PUSHED_VERSION) or None,
        awaits_approval=bool(pushed.get_int_custom_property(AWAITING_APPROVAL)),
        live_version=live.get_string_custom_property(VERSION) or None,
        users=sample_users(examples, model_path, model_info["limits"]["max_k"]),
        steps=read_step_times(inputs.values(), run_id),
        lineage=_lineage(inputs, json.loads(parameters["code_hashes"])),
        feedback=read_feedback(config.get("feedback", {}), examples),
    )


def _read_json(folder: str, name: str) -> dict[str, Any]:
    content = io_utils.read_string_file(os.path.join(folder, name))
    return dict(json.loads(content))


def _lineage(
    inputs: _Artifacts, code_hashes: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Returns what the model was made of, as rows of name and value."""
    ratings = inputs["examples"].get_string_custom_property(FINGERPRINT_PROPERTY)
    schema_file = io_utils.get_only_uri_in_dir(inputs["schema"].uri)
    with fileio.open(schema_file, "rb") as file:
        schema_digest = hashlib.sha256(file.read()).hexdigest()
    return [
        *([("fingerprint of the ratings", ratings)] if ratings else []),
        ("digest of the schema", schema_digest),
        *((f"version of {name}", metadata.version(name)) for name in _PACKAGES),
        *((f"code of {node}", digest) for node, digest in code_hashes.items()),
        *(
            (f"{artifact.type_name} ({name})", artifact.uri)
            for name, artifact in inputs.items()
            if fileio.exists(artifact.uri)
        ),
    ]
