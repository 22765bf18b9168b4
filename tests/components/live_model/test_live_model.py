"""LiveModel with complete, incomplete and missing versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from tfx import types
from tfx.types import standard_artifacts

from components.evaluator.component import RetrievalEvaluator
from components.live_model.component import LiveModel
from components.serving_directory import latest_version
from pipeline.config import EvalConfig


def _version(serving_dir: Path, name: str, content: str = "") -> None:
    (serving_dir / name / "variables").mkdir(parents=True)
    (serving_dir / name / "variables" / "variables.index").write_text(content)
    (serving_dir / name / "saved_model.pb").write_text(content)


def _run(serving_dir: Path, uri: Path) -> standard_artifacts.Model:
    model = standard_artifacts.Model()
    model.uri = str(uri)
    uri.mkdir()
    candidate = standard_artifacts.Model()
    LiveModel.test_call(candidate=candidate, model=model, serving_dir=str(serving_dir))
    return model


def test_the_latest_version_is_the_highest_number_not_the_last_name(tmp_path):
    for name in ("9", "10", "2"):
        _version(tmp_path, name)
    assert latest_version(str(tmp_path)) == "10"


def test_incomplete_versions_are_ignored(tmp_path):
    _version(tmp_path, "1")
    (tmp_path / "7").mkdir()  # half written: no saved_model.pb
    _version(tmp_path, "8.tmp")
    _version(tmp_path, "latest")
    (tmp_path / "9").write_text("a file")
    assert latest_version(str(tmp_path)) == "1"


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_without_a_version_the_model_is_empty_and_marked_so(tmp_path, make):
    make(tmp_path / "serving")
    model = _run(tmp_path / "serving", tmp_path / "model")
    assert model.get_int_custom_property("exists") == 0
    assert model.get_string_custom_property("version") == ""
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["NO_LIVE_MODEL"]


def test_the_copy_outlives_the_served_version(tmp_path):
    serving_dir = tmp_path / "serving"
    _version(serving_dir, "3", "old")
    model = _run(serving_dir, tmp_path / "model")
    (serving_dir / "3" / "saved_model.pb").write_text("changed")
    copy = tmp_path / "model" / "Format-Serving"
    assert (copy / "saved_model.pb").read_text() == "old"
    assert (copy / "variables" / "variables.index").read_text() == "old"
    assert model.get_int_custom_property("exists") == 1
    assert model.get_string_custom_property("version") == "3"
    assert model.get_string_custom_property("source") == str(serving_dir / "3")


def test_the_nodes_fit_together():
    model = types.Channel(type=standard_artifacts.Model)
    live = LiveModel(candidate=model, serving_dir="serving")
    evaluator = RetrievalEvaluator(
        examples=types.Channel(type=standard_artifacts.Examples),
        model=model,
        baseline_model=live.outputs["model"],
        schema=types.Channel(type=standard_artifacts.Schema),
        eval_config=EvalConfig(),
    )
    assert (live.id, evaluator.id) == ("LiveModel", "Evaluator")
    assert set(evaluator.outputs) == {"evaluation", "blessing"}
    assert live.exec_properties == {"serving_dir": "serving"}
