"""Each patch: TFX's output breaks the server's rule, the patched pipeline does not."""

from __future__ import annotations

import pytest

from pipeline.kubeflow import spec_patches as patches
from pipeline.kubeflow import ui_artifacts
from pipeline.kubeflow.compiled import CompiledPipeline
from pipeline.kubeflow.validation import check

pytestmark = pytest.mark.slow  # importing TFX takes ten seconds


def problems_of(pipeline: CompiledPipeline) -> str:
    return "\n".join(check(pipeline.to_yaml()).problems)


def test_parameters_keep_their_defaults(pipeline: CompiledPipeline) -> None:
    problem = "parameter input_base is not optional"
    assert problem in problems_of(pipeline)
    patches.set_defaults(pipeline, None, {"input_base": "/data", "span": "latest"})
    assert "is not optional" not in problems_of(pipeline)
    assert pipeline.parameters["input_base"]["defaultValue"] == "/data"


def test_the_driver_runs_in_the_step(pipeline: CompiledPipeline) -> None:
    assert "preCacheCheck is never called" in problems_of(pipeline)
    patches.use_our_entrypoint(pipeline, {"MovieLensExampleGen": "a.Driver"})
    assert "preCacheCheck" not in problems_of(pipeline)
    arguments = {name: box["args"] for name, box in pipeline.containers()}
    assert arguments["MovieLensExampleGen"][-4:] == [
        *("--driver_class_path", "a.Driver"),
        *("--step", "MovieLensExampleGen"),
    ]
    assert "--driver_class_path" not in arguments["Trainer"]


def test_components_are_named_as_by_the_kfp_compiler(
    pipeline: CompiledPipeline,
) -> None:
    """`kfp.local` cuts off five characters, whatever they are."""
    assert not any(name.startswith("comp-") for name in pipeline.components)
    before = list(pipeline.tasks)
    patches.prefix_names(pipeline)
    assert {name[5:] for name in pipeline.components} == set(before)
    assert list(pipeline.tasks) == before
    assert "names one that does not exist" not in problems_of(pipeline)


def test_the_pipeline_root_is_kept(pipeline: CompiledPipeline) -> None:
    assert "defaultPipelineRoot" not in pipeline.spec
    patches.set_defaults(pipeline, "minio://bucket/folder", {})
    assert pipeline.spec["defaultPipelineRoot"] == "minio://bucket/folder"
    assert "root:" not in problems_of(pipeline)
    patches.set_defaults(pipeline, "/a/folder", {})
    assert "not in an object store" in problems_of(pipeline)


def test_the_user_interface_shows_the_report(pipeline: CompiledPipeline) -> None:
    """It displays artifacts of Kubeflow's own types only."""

    def shown() -> dict[str, list[str]]:
        return {
            name: titles
            for name, component in pipeline.components.items()
            if (
                titles := [
                    output["artifactType"]["schemaTitle"]
                    for output in component["outputDefinitions"]["artifacts"].values()
                    if "schemaTitle" in output["artifactType"]
                ]
            )
        }

    assert shown() == {}
    ui_artifacts.declare(pipeline)
    assert shown() == {"ReportGen": ["system.HTML", "system.Metrics"]}
