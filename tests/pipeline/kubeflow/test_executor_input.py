"""The launcher's message in both forms, and TFX's answer. No TFX is needed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.kubeflow.executor_input import (
    MIRROR_ROOT_ENV,
    adapt,
    finish,
    local_path,
    remove_folder_markers,
)
from trainer.errors import UserError

ROOT = "minio://mlpipeline/v2/artifacts/run/Trainer/1"
EXAMPLES = {"instanceSchema": "title: tfx.Examples\ntype: object\n"}
MODEL = {"instanceSchema": "title: tfx.Model\ntype: object\n"}
INPUTS_SPEC = {"artifacts": {"examples": {"artifactType": EXAMPLES}}}


def message(*, new: bool) -> dict[str, Any]:
    """What a launcher passes since backend 2.15, or before."""
    model = {"uri": f"{ROOT}/model", "type": MODEL}
    logs = {"uri": f"{ROOT}/logs", "type": {"schemaTitle": "system.Artifact"}}
    examples = {
        "name": "17",
        "uri": "minio://mlpipeline/v2/artifacts/run/Gen/1/examples",
        "type": {"instanceSchema": ""},
        "metadata": {"span": 1.0},
    }
    outputs: dict[str, Any] = {"model": {"artifacts": [model]}}
    output_file = "/tmp/kfp_outputs/output_metadata.json"
    if new:
        outputs["model"]["artifacts"][0]["name"] = "model"
        outputs["executor-logs"] = {"artifacts": [logs]}
        output_file = "/minio/mlpipeline/v2/output_metadata.json"
    return {
        "inputs": {"artifacts": {"examples": {"artifacts": [examples]}}},
        "outputs": {"artifacts": outputs, "outputFile": output_file},
    }


@pytest.fixture(params=[True, False], ids=["new", "old"])
def shaped(request: pytest.FixtureRequest) -> dict[str, Any]:
    return message(new=request.param)


def test_both_forms_are_translated_for_tfx(shaped: dict[str, Any]) -> None:
    """tfx#7768: an empty schema is `yaml.safe_load("").get` in every step."""
    adapted = adapt(shaped, INPUTS_SPEC)
    (examples,) = adapted.inputs()
    (model,) = adapted.outputs()  # without executor-logs
    assert examples["type"] == EXAMPLES
    assert examples["uri"] == "/minio/mlpipeline/v2/artifacts/run/Gen/1/examples"
    assert examples["name"] == "17"
    assert examples["metadata"] == {"span": 1.0}
    assert model["uri"] == "/minio/mlpipeline/v2/artifacts/run/Trainer/1/model"
    # Without a name TFX has the id 0 and fails when it looks the name up.
    assert model["name"]
    assert adapted.output_file == shaped["outputs"]["outputFile"]


def test_the_launchers_message_is_not_changed() -> None:
    shaped = message(new=True)
    adapt(shaped, INPUTS_SPEC)
    assert shaped == message(new=True)


def test_types_come_from_the_compiled_file() -> None:
    """`kfp.local` says `system.Artifact`, for which TFX has no class."""
    shaped = message(new=True)
    (examples,) = shaped["inputs"]["artifacts"]["examples"]["artifacts"]
    examples["type"] = {"schemaTitle": "system.Artifact"}
    (adapted,) = adapt(shaped, INPUTS_SPEC).inputs()
    assert adapted["type"] == EXAMPLES
    (adapted,) = adapt(shaped, {}).inputs()
    assert adapted["type"] == {"schemaTitle": "system.Artifact"}


def test_a_message_without_output_file_is_rejected() -> None:
    with pytest.raises(UserError, match="names no output file"):
        adapt({"inputs": {}}, {})


def test_the_answer_has_uris_and_no_null() -> None:
    uris = adapt(message(new=True), INPUTS_SPEC).uris
    local = "/minio/mlpipeline/v2/artifacts/run/Trainer/1/model"
    metadata = {"a": None, "b": 1.0, "file": f"{local}/report.json"}
    output = {
        "model": {"artifacts": [{"name": "m", "uri": local, "metadata": metadata}]}
    }
    finished = finish({"artifacts": output}, uris)
    (model,) = finished["artifacts"]["model"]["artifacts"]
    assert model == {
        "name": "m",
        "uri": f"{ROOT}/model",
        "metadata": {"b": 1.0, "file": f"{ROOT}/model/report.json"},
    }
    assert "parameterValues" not in finished


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("minio://b/k", "/minio/b/k"),
        ("s3://b/k", "/s3/b/k"),
        ("gs://b/k", "/gcs/b/k"),
        ("/mnt/k", "/mnt/k"),
        ("ram://k", "ram://k"),
    ],
)
def test_local_paths_are_those_of_the_launcher(uri: str, path: str) -> None:
    assert local_path(uri) == path


def test_the_root_of_the_mirrors_can_be_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR_ROOT_ENV, "/pod")
    assert local_path("minio://b/k") == "/pod/minio/b/k"


def test_empty_objects_that_stand_for_folders_are_ignored(tmp_path: Path) -> None:
    """kfp#13476; an empty file of another name is a file."""
    (tmp_path / "Split-train").mkdir()
    (tmp_path / "Split-train_$folder$").touch()
    (tmp_path / "Split-train" / "a_$folder$").touch()
    (tmp_path / "NO_LIVE_MODEL").touch()
    (tmp_path / "full_$folder$").write_text("x")
    remove_folder_markers(tmp_path)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"NO_LIVE_MODEL", "full_$folder$"}


@pytest.mark.parametrize(
    "key",
    [
        "b/../../etc/x",
        "b/k/..",
        "../x",
        "/etc/passwd",
        "",
        "b/./x",
        "b/%2e%2e/x",
        "b/%252e%252E/x",
        "b/..%2fetc",
        "b/..\\..\\x",
        "b\\..\\x",
        "b/%5c..%5cx",
        "b/a\0b",
        "b/a\nb",
        "b/%00",
        "b/%" + "25" * 9 + "41",
    ],
)
@pytest.mark.parametrize("scheme", ["minio", "s3", "gs"])
def test_no_object_leaves_the_folder_of_its_store(scheme: str, key: str) -> None:
    with pytest.raises(UserError, match="not the name of an object") as caught:
        local_path(f"{scheme}://{key}")
    assert "\n" not in str(caught.value)


@given(st.text())
def test_every_local_path_is_below_the_folder_of_its_store(key: str) -> None:
    with contextlib.suppress(UserError):
        path = local_path(f"minio://{key}")
        assert os.path.normpath(path).startswith("/minio/")


@pytest.mark.parametrize("key", ["b", "b/k/", "b/a..b/x", "b/50%.csv", "b//k", "b/.x"])
def test_ordinary_objects_have_a_path(key: str) -> None:
    assert local_path(f"s3://{key}") == f"/s3/{key}"
