"""Each mend: the stock file breaks the server's rule, ours does not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pipeline.kubeflow import spec_patches as mends
from pipeline.kubeflow.validation.rules import problems_of
from tests.fixtures.lazy import lazily
from trainer.errors import UserError

pytestmark = pytest.mark.slow  # importing TFX takes ten seconds

Spec = dict[str, Any]


@pytest.fixture(scope="module")
def conditional() -> Spec:
    return lazily("tests.fixtures.stock_kubeflow", "conditional_spec")()


def test_parameters_keep_their_defaults(spec: Spec) -> None:
    problem = "parameter input_base is not optional"
    assert problem in problems_of(spec)
    mends.set_parameter_defaults(spec, {"input_base": "/data", "span": "latest"})
    assert "is not optional" not in problems_of(spec)
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert parameters["input_base"]["defaultValue"] == "/data"


def test_the_driver_runs_in_the_step(spec: Spec) -> None:
    assert "preCacheCheck is never called" in problems_of(spec)
    mends.run_driver_in_the_step(spec, {"MovieLensExampleGen": "a.Driver"})
    assert "preCacheCheck" not in problems_of(spec)
    arguments = {name: box["args"] for name, box in mends.containers(spec)}
    assert arguments["MovieLensExampleGen"][-2:] == ["--driver_class_path", "a.Driver"]
    assert "--driver_class_path" not in arguments["Trainer"]


def test_components_are_named_as_the_sdk_does(spec: Spec) -> None:
    """`kfp.local` cuts off five characters, whatever they are."""
    assert not any(name.startswith("comp-") for name in spec["components"])
    before = list(mends.tasks(spec))
    mends.name_as_the_sdk_does(spec)
    assert {name[5:] for name in spec["components"]} == set(before)
    assert list(mends.tasks(spec)) == before
    assert "names none that exists" not in problems_of(spec)


def test_the_pipeline_root_is_kept(spec: Spec) -> None:
    assert "defaultPipelineRoot" not in spec
    mends.set_pipeline_root(spec, "minio://bucket/folder")
    assert spec["defaultPipelineRoot"] == "minio://bucket/folder"
    assert "root:" not in problems_of(spec)
    mends.set_pipeline_root(spec, "/a/folder")
    assert "no object store" in problems_of(spec)


def test_conditions_name_the_keys_that_the_task_has(conditional: Spec) -> None:
    spec = copy.deepcopy(conditional)
    assert "no such key '_Judge.blessing'" in problems_of(spec)
    mends.rename_condition_keys(spec)
    assert "no such key" not in problems_of(spec)
    condition = mends.tasks(spec)["Push"]["triggerPolicy"]["condition"]
    assert "inputs.artifacts['blessing']" in condition


def test_values_come_from_a_task_that_exists(conditional: Spec) -> None:
    spec = copy.deepcopy(conditional)
    assert "unknown producer 'Judge_task'" in problems_of(spec)
    mends.name_real_producers(spec)
    assert "unknown producer" not in problems_of(spec)


def test_null_metadata_is_dropped(conditional: Spec) -> None:
    spec = copy.deepcopy(conditional)
    outputs = spec["components"]["Judge"]["outputDefinitions"]["artifacts"]
    outputs["blessing"]["metadata"] = {"a": None, "b": 1}
    assert "a is null" in problems_of(spec)
    mends.drop_null_metadata(spec)
    assert outputs["blessing"]["metadata"] == {"b": 1}


def test_the_report_is_shown_by_kubeflows_pages(spec: Spec) -> None:
    """They draw artifacts of Kubeflow's own types and no other."""

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
    mends.show_the_report(spec)
    assert shown() == {"ReportGen": ["system.HTML", "system.Metrics"]}


def test_the_servability_check_is_in_the_place_of_infra_validator(
    spec: Spec,
) -> None:
    """tfx#5512: TFX compiles no InfraValidator for this runner."""
    with pytest.raises(NotImplementedError, match="InfraValidator.*not supported"):
        lazily("tests.fixtures.stock_kubeflow", "infra_validator_spec")()
    pusher = mends.tasks(spec)["Pusher"]["inputs"]["artifacts"]["infra_blessing"]
    producer = pusher["taskOutputArtifact"]["producerTask"]
    assert producer == "ServabilityCheck"
    made = mends.component_of(spec, mends.tasks(spec)[producer])
    kind = made["outputDefinitions"]["artifacts"]["blessing"]["artifactType"]
    assert "title: tfx.InfraBlessing" in kind["instanceSchema"]
    # The stock file of our graph can be mended; with InfraValidator there is none.
    mends.refuse_what_no_server_runs(spec)
    assert "not implemented" not in problems_of(spec)


def test_a_resolver_is_refused_in_one_line() -> None:
    spec = lazily("tests.fixtures.stock_kubeflow", "resolver_spec")()
    assert "latest is a resolver, which is not implemented" in problems_of(spec)
    with pytest.raises(UserError, match="latest is a resolver"):
        mends.refuse_what_no_server_runs(spec)
