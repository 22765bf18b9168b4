"""The containers' entrypoint, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.kubeflow.input_files import check_brought
from tests.fixtures.command import REPOSITORY
from tests.fixtures.lazy import lazily
from tests.pipeline.kubeflow.test_executor_input import message
from trainer.errors import UserError


def run_step(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "TWO_TOWER_MIRROR_ROOT": str(cwd),
    }
    return subprocess.run(
        [sys.executable, "-m", "pipeline.kubeflow.step_entrypoint", *arguments],
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


def test_a_message_that_is_none_is_one_line(tmp_path: Path) -> None:
    done = run_step(*arguments([]), cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Maker failed: The executor input is no JSON object. ")
    assert last.endswith("Compile the pipeline again.")


def test_arguments_that_are_missing_are_usage(tmp_path: Path) -> None:
    assert run_step("--executor_class_path", "a.B", cwd=tmp_path).returncode == 2


@pytest.mark.slow
def test_a_component_that_fails_says_why_last(tmp_path: Path) -> None:
    """The schema of the image is another than the compiled pipeline's."""
    executor_input = message(new=True)
    executor_input["inputs"] = {"parameterValues": {"schema_digest": "0" * 64}}
    executor_input["outputs"]["artifacts"]["schema"] = executor_input["outputs"][
        "artifacts"
    ].pop("model")
    done = run_step(
        *arguments(
            executor_input,
            "components.schema_importer.component.SchemaImporter_Executor",
        ),
        cwd=tmp_path,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Maker failed: schema.pbtxt of this machine's")
    assert last.endswith(
        "Compile the pipeline again with the package that the steps run with."
    )
    assert not list(tmp_path.rglob("output_metadata.json"))


@pytest.mark.slow
def test_ratings_are_brought_from_where_tensorflow_reads(tmp_path: Path) -> None:
    """`ram://` stands for gs://: neither is a local path."""
    bring = lazily("pipeline.kubeflow.input_files", "bring")
    gfile = lazily("tensorflow", "io").gfile
    gfile.makedirs("ram://bucket/data/span-1")
    with gfile.GFile("ram://bucket/data/span-1/ratings.csv", "w") as out:
        out.write("userId")
    assert bring("ram://bucket/data/", str(tmp_path / "in")) == str(tmp_path / "in")
    assert (tmp_path / "in" / "span-1" / "ratings.csv").read_text() == "userId"
    assert bring("/mnt/data", str(tmp_path)) == "/mnt/data"


def test_a_bucket_of_which_nothing_came_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="s3://lake/ml holds no files"):
            check_brought(str(folder), "s3://lake/ml")
    (tmp_path / "ratings.csv").touch()
    check_brought(str(tmp_path), "s3://lake/ml")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["ram://none", "minio://bucket/data"])
def test_a_place_that_cannot_be_read_is_named(place: str, tmp_path: Path) -> None:
    bring = lazily("pipeline.kubeflow.input_files", "bring")
    with pytest.raises(UserError, match=place):
        bring(place, str(tmp_path))
