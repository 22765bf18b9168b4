"""The command of a step's container: `python -m pipeline.kubeflow.step_entrypoint`.

It takes the arguments that TFX compiles for its own entrypoint, translates the
launcher's message, and lets TFX's entrypoint run the executor. The exit code is 1 if
the component failed; the last line of the log is then the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from components.report_gen.step_times import RUN_PROPERTY, step_properties
from pipeline.engines.guard import Guard
from pipeline.kubeflow import (
    engine_settings,
    executor_input,
    ratings_input,
    run_day,
    shared_files,
    ui_artifacts,
)
from pipeline.kubeflow.config import INPUT_BASE_PARAMETER
from pipeline.kubeflow.executor_input import Json, TfxInput
from pipeline.kubeflow.spec_patches import DRIVER_FLAG, NOTIFY_FLAG, STEP_FLAG
from pipeline.local.failures import explain
from pipeline.secret_text import redacted
from trainer.atomic_files import write_text
from trainer.errors import UserError
from trainer.text import printable_lines, start_logging

_LOG: Final = logging.getLogger(__name__)
# Kubernetes shows the content of this file next to the container's state.
_TERMINATION_LOG: Final = Path("/dev/termination-log")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one component; returns the exit code."""
    start_logging(clean=redacted)
    parser = argparse.ArgumentParser(
        prog="pipeline.kubeflow.step_entrypoint",
        description=__doc__,
        allow_abbrev=False,
    )
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", required=True)
    parser.add_argument(DRIVER_FLAG, default="")
    parser.add_argument(STEP_FLAG, default="The step")
    parser.add_argument(NOTIFY_FLAG, default="")
    options, beam_args = parser.parse_known_args(arguments)
    # The user's own Keras settings may name another backend.
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    try:
        _run(options, beam_args)
    except Exception as error:
        line = redacted(f"{options.step} failed: {explain(error)}".rstrip())
        report = printable_lines(f"{redacted(traceback.format_exc())}{line}")
        print(report, file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            if _TERMINATION_LOG.exists():
                _TERMINATION_LOG.write_text(line, encoding="utf-8")
        return 1
    return 0


def _run(options: argparse.Namespace, beam_args: list[str]) -> None:
    started = time.monotonic()
    engine = engine_settings.of_this_step()
    beam_args = engine_settings.arguments(engine, beam_args)
    message = _parsed(options.json_serialized_invocation_args, "executor input")
    inputs_spec = _parsed(options.json_serialized_inputs_spec_args, "inputs spec")
    adapted = executor_input.adapt(message, inputs_spec)
    run_id = _run_id(message, options.step)
    for artifact in adapted.inputs():
        executor_input.remove_folder_markers(Path(artifact["uri"]))
    for artifact in adapted.outputs():
        # The report lists the steps whose outputs this run has made.
        artifact["metadata"] = {**artifact.get("metadata", {}), RUN_PROPERTY: run_id}
        if "://" not in artifact["uri"]:  # the launcher creates only the parent
            Path(artifact["uri"]).mkdir(parents=True, exist_ok=True)
    shared = shared_files.shared_folder(options.executor_class_path, beam_args)
    with tempfile.TemporaryDirectory(prefix="two-tower-") as folder:
        with shared_files.shared(adapted, shared):
            # TFX keeps its temporary files beside this one.
            task = Path(folder if shared is None or "://" in shared else shared)
            output_file = task / "task" / "output_metadata.json"
            adapted.content["outputs"]["outputFile"] = str(output_file)
            if options.driver_class_path:
                _run_driver(options, adapted, inputs_spec, str(task))
            from tfx.orchestration.kubeflow.v2.container import (
                kubeflow_v2_run_executor as tfx_entrypoint,
            )

            options.json_serialized_invocation_args = json.dumps(adapted.content)
            with Guard(engine, [shared] if shared else []).step():
                tfx_entrypoint.main((options, beam_args))
            output = _parsed(output_file.read_text(encoding="utf-8"), "TFX's output")
    finished = executor_input.finish(output, adapted.uris)
    ui_artifacts.fill(finished, message["outputs"].get("artifacts", {}))
    seconds = time.monotonic() - started
    _note_step(finished, step_properties(options.step, seconds, run_id))
    _write(adapted.output_file, finished)
    if options.notify:
        _notify(options.notify, adapted.content["inputs"]["artifacts"], run_id)


def _notify(settings: str, inputs: Json, run_id: str) -> None:
    """Sends what became of the model; nothing of it can fail the step."""
    from pipeline.kubeflow.exit_step import NotifySettings
    from pipeline.kubeflow.run_outcome import of_result
    from pipeline.notifications.sender import send

    try:
        given = NotifySettings.from_argument(settings)
        for fault in send(of_result(given, inputs, run_id), given.notify):
            _LOG.error("%s", fault)
    except Exception:
        _LOG.exception("No notification was sent")


def _run_id(message: Json, step: str) -> str:
    """The run's id: the launcher names it only in `<root>/<run>/<step>/...` URIs."""
    for listed in message["outputs"].get("artifacts", {}).values():
        for artifact in listed.get("artifacts", ()):
            before, separator, _ = artifact["uri"].rpartition(f"/{step}/")
            if separator:
                return str(before.rpartition("/")[2])
    return ""


def _note_step(finished: Json, properties: Mapping[str, str | float]) -> None:
    """Sets properties of the step on its outputs, for the report."""
    for key, listed in finished["artifacts"].items():
        # The user interface would show these properties too.
        if key not in (ui_artifacts.PAGE, ui_artifacts.METRICS):
            for artifact in listed["artifacts"]:
                artifact["metadata"] |= properties


def _run_driver(
    options: argparse.Namespace, adapted: TfxInput, inputs_spec: Json, folder: str
) -> None:
    """Runs the driver, as the hook `lifecycle.preCacheCheck` should.

    Its results (span, version, fingerprint) are passed to the executor in the file that
    TFX reads, and set as properties of the outputs.
    """
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2 as spec_pb2
    from tfx.orchestration.kubeflow.v2.container import (
        kubeflow_v2_entrypoint_utils as tfx_utils,
    )
    from tfx.utils import import_utils

    inputs = adapted.content["inputs"]
    run_day.resolve(inputs)
    inputs["parameterValues"][INPUT_BASE_PARAMETER] = ratings_input.local_input(
        inputs, str(Path(folder) / "input")
    )
    message = json_format.ParseDict(
        adapted.content, spec_pb2.ExecutorInput(), ignore_unknown_fields=True
    )
    spec = json_format.ParseDict(
        inputs_spec, spec_pb2.ComponentInputsSpec(), ignore_unknown_fields=True
    )
    given = tfx_utils.parse_execution_properties(
        message.inputs.parameter_values, message.inputs.parameters, spec
    )
    driver = import_utils.import_class_by_path(options.driver_class_path)(None)
    resolved = driver.resolve_exec_properties(dict(given), None, None)
    found = {
        key: value
        for key, value in resolved.items()
        if value is not None and given.get(key) != value
    }
    _write(adapted.content["outputs"]["outputFile"], {"parameterValues": found})
    for artifact in adapted.outputs():
        artifact["metadata"] = {**artifact.get("metadata", {}), **found}


def _parsed(text: str, what: str) -> Json:
    try:
        content: Any = json.loads(text)
    except ValueError as error:
        raise UserError(
            f"The {what} is not JSON: {error}", "Compile the pipeline again."
        ) from error
    if not isinstance(content, dict):
        raise UserError(
            f"The {what} is not a JSON object", "Compile the pipeline again."
        )
    return content


def _write(path: str, content: Json) -> None:
    """Writes a message to the launcher, atomically."""
    target = Path(executor_input.local_path(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, json.dumps(content))


if __name__ == "__main__":
    # Beam and pickle find definitions by this module's name, not by `__main__`.
    from pipeline.kubeflow.step_entrypoint import main as run_step

    sys.exit(run_step())
