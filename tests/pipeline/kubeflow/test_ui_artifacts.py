"""The report and its metrics in Kubeflow's user interface. No TFX is needed."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.kubeflow.compiled import CompiledPipeline
from pipeline.kubeflow.executor_input import MIRROR_ROOT_ENV, adapt
from pipeline.kubeflow.ui_artifacts import METRICS, PAGE, declare, fill

ROOT = "minio://mlpipeline/v2/artifacts/run/ReportGen/1"
REPORT = {"artifactType": {"instanceSchema": "title: components.RunReport\n"}}
FOUND: dict[str, Any] = {"blessed": 1.0, "mrr": 0.25, "tfx_version": "1.16.0"}


def component(key: str) -> dict[str, Any]:
    return {"outputDefinitions": {"artifacts": {key: REPORT}}}


def message(*, new: bool) -> dict[str, Any]:
    """The outputs of a launcher since 2.15, or before, for the declared component."""
    made = component("run_report")
    declare(CompiledPipeline({"components": {"comp-x": made}}))
    specs = made["outputDefinitions"]["artifacts"]
    artifacts = {
        key: {
            "artifacts": [
                {"uri": f"{ROOT}/{key}", "type": spec["artifactType"]}
                | ({"name": key} if new else {})
            ]
        }
        for key, spec in specs.items()
    }
    return {"outputs": {"artifacts": artifacts, "outputFile": "/tmp/output.json"}}


def output(metadata: dict[str, Any]) -> dict[str, Any]:
    report = {"uri": f"{ROOT}/run_report", "metadata": metadata}
    return {"artifacts": {"run_report": {"artifacts": [report]}}}


@pytest.mark.parametrize("new", [True, False], ids=["new", "old"])
def test_the_page_is_the_file_and_the_metrics_are_numbers(
    new: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(MIRROR_ROOT_ENV, str(tmp_path))
    given = {**FOUND, "ndcg@10": math.nan, "coverage@10": math.inf, "none": None}
    finished = output(given)
    fill(finished, message(new=new)["outputs"]["artifacts"])
    (page,) = finished["artifacts"][PAGE]["artifacts"]
    (metrics,) = finished["artifacts"][METRICS]["artifacts"]
    assert page["uri"] == f"{ROOT}/run_report/report.html"
    assert metrics["metadata"] == {"blessed": 1.0, "mrr": 0.25}
    assert metrics["uri"] == f"{ROOT}/{METRICS}"
    stored = tmp_path / "minio" / metrics["uri"].removeprefix("minio://")
    assert json.loads(stored.read_text()) == metrics["metadata"]
    assert ("name" in page, "name" in metrics) == (new, new)


def test_only_the_report_component_declares_them() -> None:
    other = component("model")
    declare(CompiledPipeline({"components": {"comp-x": other}}))
    assert other == component("model")
    made = component("run_report")
    declare(CompiledPipeline({"components": {"comp-x": made}}))
    outputs = made["outputDefinitions"]["artifacts"]
    titles = {
        key: spec["artifactType"].get("schemaTitle") for key, spec in outputs.items()
    }
    assert titles == {
        "run_report": None,
        PAGE: "system.HTML",
        METRICS: "system.Metrics",
    }


def test_tfx_gets_its_own_output_only() -> None:
    (report,) = adapt(message(new=True), {}).outputs()
    assert report["name"] == "run_report"


def test_a_step_without_a_report_is_unchanged() -> None:
    """So is one whose pipeline was compiled before these outputs were declared."""
    model: dict[str, Any] = {"artifacts": {"model": {"artifacts": [{"uri": ROOT}]}}}
    before = copy.deepcopy(model)
    fill(model, {"model": {}})
    assert model == before
    report = output(FOUND)
    fill(report, {"run_report": {}})
    assert report == output(FOUND)
