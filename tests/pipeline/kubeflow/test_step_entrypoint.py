"""The containers' entrypoint, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.command import REPOSITORY
from tests.fixtures.warm_python import WarmPython
from tests.pipeline.kubeflow.test_executor_input import message


def run_step(
    *arguments: str, cwd: Path, python: WarmPython | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "TWO_TOWER_MIRROR_ROOT": str(cwd),
    }
    command = [sys.executable, "-m", "pipeline.kubeflow.step_entrypoint", *arguments]
    if python is not None:
        return python.run(command, cwd=cwd, env=environment)
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def arguments(executor_input: Any, executor: str = "a.B") -> list[str]:
    return [
        *("--executor_class_path", executor),
        *("--json_serialized_invocation_args", json.dumps(executor_input)),
        *("--json_serialized_inputs_spec_args", "{}"),
        *("--step", "Maker"),
    ]


def test_a_malformed_message_is_one_line(tmp_path: Path) -> None:
    done = run_step(*arguments([]), cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Maker failed: The executor input is not a JSON object. ")
    assert last.endswith("Compile the pipeline again.")


def test_a_missing_argument_is_a_usage_error(tmp_path: Path) -> None:
    assert run_step("--executor_class_path", "a.B", cwd=tmp_path).returncode == 2


@pytest.mark.slow
def test_a_component_that_fails_says_why_last(
    tmp_path: Path, python: WarmPython | None
) -> None:
    """The schema of the image is another than the compiled pipeline's."""
    executor_input = message(new=True)
    executor_input["inputs"] = {
        "parameterValues": {"schema_digest": "0" * 64, "rating_scale": "null"}
    }
    executor_input["outputs"]["artifacts"]["schema"] = executor_input["outputs"][
        "artifacts"
    ].pop("model")
    done = run_step(
        *arguments(
            executor_input,
            "components.schema_importer.component.SchemaImporter_Executor",
        ),
        cwd=tmp_path,
        python=python,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Maker failed: schema.pbtxt of this machine's")
    assert last.endswith(
        "Compile the pipeline again with the package that the steps run with."
    )
    assert not list(tmp_path.rglob("output_metadata.json"))


def test_no_secret_of_an_error_is_in_the_log(tmp_path: Path) -> None:
    content = message(new=True)
    (examples,) = content["inputs"]["artifacts"]["examples"]["artifacts"]
    examples["uri"] = "s3://me:hunter2@bucket/../x"
    failed = run_step(*arguments(content), cwd=tmp_path)
    assert failed.returncode == 1
    assert "Maker failed: s3***bucket/../x is not the name" in failed.stderr
    assert "hunter2" not in failed.stdout + failed.stderr
