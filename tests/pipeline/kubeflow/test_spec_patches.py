"""Each patch: TFX's output breaks the server's rule, the patched pipeline does not."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pipeline.kubeflow import spec_patches as patches
from pipeline.kubeflow.validation.rules import check

pytestmark = pytest.mark.slow  # importing TFX takes ten seconds

Spec = dict[str, Any]


def problems_of(spec: Spec) -> str:
    return "\n".join(map(str, check(yaml.safe_dump(spec)).problems))


def test_parameters_keep_their_defaults(spec: Spec) -> None:
    problem = "parameter input_base is not optional"
    assert problem in problems_of(spec)
    patches.set_parameter_defaults(spec, {"input_base": "/data", "span": "latest"})
    assert "is not optional" not in problems_of(spec)
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert parameters["input_base"]["defaultValue"] == "/data"


def test_the_driver_runs_in_the_step(spec: Spec) -> None:
    assert "preCacheCheck is never called" in problems_of(spec)
    patches.run_driver_in_step(spec, {"MovieLensExampleGen": "a.Driver"})
    assert "preCacheCheck" not in problems_of(spec)
    arguments = {name: box["args"] for name, box in patches.containers(spec)}
    assert arguments["MovieLensExampleGen"][-2:] == ["--driver_class_path", "a.Driver"]
    assert "--driver_class_path" not in arguments["Trainer"]


def test_components_are_named_as_by_the_kfp_compiler(spec: Spec) -> None:
    """`kfp.local` cuts off five characters, whatever they are."""
    assert not any(name.startswith("comp-") for name in spec["components"])
    before = list(patches.tasks(spec))
    patches.prefix_names(spec)
    assert {name[5:] for name in spec["components"]} == set(before)
    assert list(patches.tasks(spec)) == before
    assert "names one that does not exist" not in problems_of(spec)


def test_the_pipeline_root_is_kept(spec: Spec) -> None:
    assert "defaultPipelineRoot" not in spec
    patches.set_pipeline_root(spec, "minio://bucket/folder")
    assert spec["defaultPipelineRoot"] == "minio://bucket/folder"
    assert "root:" not in problems_of(spec)
    patches.set_pipeline_root(spec, "/a/folder")
    assert "not in an object store" in problems_of(spec)


def test_the_user_interface_shows_the_report(spec: Spec) -> None:
    """It displays artifacts of Kubeflow's own types only."""

    def shown() -> dict[str, list[str]]:
        return {
            name: titles
            for name, component in spec["components"].items()
            if (
                titles := [
                    output["artifactType"]["schemaTitle"]
                    for output in component["outputDefinitions"]["artifacts"].values()
                    if "schemaTitle" in output["artifactType"]
                ]
            )
        }

    assert shown() == {}
    patches.declare_ui_artifacts(spec)
    assert shown() == {"ReportGen": ["system.HTML", "system.Metrics"]}
