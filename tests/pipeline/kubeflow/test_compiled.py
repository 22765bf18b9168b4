"""The compiled file: the local graph, with the settings of the configuration."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml

from pipeline.config.loading import load
from pipeline.kubeflow.run_day import RUN_TIME
from pipeline.kubeflow.validation import check
from tests.fixtures.lazy import lazily
from tests.pipeline.kubeflow.conftest import SETTINGS
from trainer.errors import UsageError

pytestmark = pytest.mark.slow  # importing TFX takes ten seconds


def tasks(compiled: Any) -> dict[str, Any]:
    found: dict[str, Any] = compiled.spec["root"]["dag"]["tasks"]
    return found


def container(compiled: Any, step: str) -> dict[str, Any]:
    found: dict[str, Any] = compiled.spec["deploymentSpec"]["executors"][f"exec-{step}"]
    return found["container"]  # type: ignore[no-any-return]


def kubernetes(compiled: Any, step: str) -> dict[str, Any]:
    platform = compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]
    found: dict[str, Any] = platform["executors"][f"exec-{step}"]
    return found


def test_the_file_passes_the_servers_rules_and_the_clients_loader(
    compiled: Any,
) -> None:
    text = compiled.to_yaml()
    report = check(text)
    assert report.problems == []
    assert report.required == []
    loaded = lazily("kfp.components", "load_component_from_text")(text)
    assert loaded.pipeline_spec.pipeline_info.name == "two-tower"
    assert loaded.platform_spec.platforms["kubernetes"]


def test_nodes_and_edges_are_those_of_the_local_graph(compiled: Any) -> None:
    """Node ids, what each waits for, and which outputs become which inputs."""
    assert_same_graph(compiled, lazily("tests.pipeline.test_pipeline", "compiled")())


def test_the_tuner_is_compiled_as_it_is_locally() -> None:
    config = load((), [*SETTINGS, "tune.enabled=true", "kubeflow.steps.Tuner.gpus=1"])
    compiled = lazily("pipeline.kubeflow_runner", "compile_pipeline")(config)
    assert check(compiled.to_yaml()).problems == []
    local = lazily("tests.pipeline.test_pipeline", "compiled")(config)
    assert_same_graph(compiled, local)
    parameters = tasks(compiled)["Tuner"]["inputs"]["parameters"]
    settings = json.loads(parameters["custom_config"]["runtimeValue"]["constant"])
    assert settings["tune"]["trials"] == config.tune.trials
    assert parameters["code_hash"]["runtimeValue"]["constant"]
    accelerator = container(compiled, "Tuner")["resources"]["accelerator"]
    assert accelerator["count"] == "1"


def assert_same_graph(compiled: Any, local: dict[str, Any]) -> None:
    found = tasks(compiled)
    assert set(found) == set(local)
    for name, node in local.items():
        assert set(found[name].get("dependentTasks", [])) == set(node.upstream_nodes)
        edges = {
            key: (
                spec.channels[0].producer_node_query.id,
                spec.channels[0].output_key,
            )
            for key, spec in node.inputs.inputs.items()
        }
        assert edges == {
            key: (
                source["taskOutputArtifact"]["producerTask"],
                source["taskOutputArtifact"]["outputArtifactKey"],
            )
            for key, source in found[name]["inputs"].get("artifacts", {}).items()
        }
        parameters = {
            key: value.field_value.string_value
            for key, value in node.parameters.parameters.items()
            if value.field_value.string_value
        }
        for key, source in found[name]["inputs"]["parameters"].items():
            constant = source.get("runtimeValue", {}).get("constant")
            # Paths and data differ between runners, and protobufs in their spaces.
            differs = key in (
                "custom_config",
                "serving_dir",
                "push_destination",
                RUN_TIME,
            )
            if isinstance(constant, str) and not differs:
                assert "".join(constant.split()) == "".join(parameters[key].split())


def test_settings_reach_their_step(compiled: Any) -> None:
    trainer = container(compiled, "Trainer")
    assert trainer["image"] == "registry.example.com/two-tower:1"
    assert trainer["resources"] == {
        "cpuLimit": 8.0,
        "cpuRequest": 8.0,
        "memoryLimit": 4.0,
        "memoryRequest": 4.0,
        "accelerator": {"type": "nvidia.com/gpu", "count": "1"},
    }
    assert trainer["env"] == [{"name": "LEVEL", "value": "1"}]
    assert container(compiled, "Pusher")["image"] == "pusher:2"
    assert "accelerator" not in container(compiled, "Pusher")["resources"]
    assert "retryPolicy" not in tasks(compiled)["Trainer"]
    assert tasks(compiled)["Pusher"]["retryPolicy"]["maxRetryCount"] == 2


def test_settings_of_kubernetes_are_in_the_second_document(compiled: Any) -> None:
    assert kubernetes(compiled, "Trainer") == {
        "imagePullPolicy": "Always",
        "imagePullSecret": [{"secretName": "registry"}],
        "nodeSelector": {"labels": {"pool": "gpu"}},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "secretAsEnv": [
            {
                "secretName": "store",
                "keyToEnv": [{"secretKey": "key", "envVar": "STORE_KEY"}],
            }
        ],
        "pvcMount": [{"constant": "two-tower", "mountPath": "/mnt/two-tower"}],
        "activeDeadlineSeconds": "600",
        "securityContext": {
            "runAsUser": "1000",
            "runAsGroup": "1000",
            "runAsNonRoot": True,
        },
    }
    assert "nodeSelector" not in kubernetes(compiled, "Pusher")


def test_caching_is_set_in_the_file(compiled: Any) -> None:
    """kfp#14253: the client's switch is dropped for a registered version."""
    options = {name: task["cachingOptions"] for name, task in tasks(compiled).items()}
    assert options.pop("Pusher") == {}
    # Without a span in its parameters, a new day would be a cache hit: tfx#4273.
    assert options.pop("MovieLensExampleGen") == {}
    # A server does not know what is live: it runs no driver.
    for step in ("LiveModel", "DataGate", "WarmStart"):
        assert options.pop(step) == {}
    assert set(map(str, options.values())) == {"{'enableCache': True}"}


def test_a_pinned_span_must_be_given_and_is_cached() -> None:
    make = lazily("pipeline.kubeflow_runner", "compile_pipeline")
    settings = (*SETTINGS, "train.warm_start=never")
    pinned = make(load((), settings), pinned_span=True)
    text = pinned.to_yaml()
    assert check(text, given=("span",)).problems == []
    (problem,) = check(text).problems
    assert "parameter span is not optional" in str(problem)
    # Without a warm start, what is live does not matter to the training.
    for step in ("MovieLensExampleGen", "WarmStart"):
        assert tasks(pinned)[step]["cachingOptions"] == {"enableCache": True}
    # An input that differs in every run would never be a cache hit.
    assert RUN_TIME not in tasks(pinned)["MovieLensExampleGen"]["inputs"]["parameters"]


def test_the_server_passes_the_time_of_the_run_to_the_first_step(compiled: Any) -> None:
    """The form that the server's driver replaces: kfp#13474."""
    inputs = tasks(compiled)["MovieLensExampleGen"]["inputs"]["parameters"]
    placeholder = "{{$.pipeline_job_schedule_time_utc}}"
    assert inputs[RUN_TIME] == {"runtimeValue": {"constant": placeholder}}


def test_the_same_configuration_makes_the_same_file(compiled: Any) -> None:
    make = lazily("pipeline.kubeflow_runner", "compile_pipeline")
    assert make(load((), SETTINGS)).to_yaml() == compiled.to_yaml()


@pytest.mark.parametrize("uri", ["s3://lake/ml", "minio://lake/ml"])
def test_ratings_that_only_the_launcher_reads_are_imported(
    compiled: Any, uri: str
) -> None:
    make = lazily("pipeline.kubeflow_runner", "compile_pipeline")
    made = make(load((), [*SETTINGS, f"kubeflow.input_base={uri}"]))
    assert check(made.to_yaml()).problems == []
    assert set(tasks(made)) - set(tasks(compiled)) == {"RatingsImporter"}
    reader = tasks(made)["MovieLensExampleGen"]
    assert reader["inputs"]["artifacts"]["ratings"]["taskOutputArtifact"] == {
        "producerTask": "RatingsImporter",
        "outputArtifactKey": "artifact",
    }
    executors = made.spec["deploymentSpec"]["executors"]
    importer = executors["exec-RatingsImporter"]["importer"]
    assert importer["artifactUri"] == {"runtimeParameter": "uri"}
    parameter = tasks(made)["RatingsImporter"]["inputs"]["parameters"]["uri"]
    assert parameter == {"componentInputParameter": "input_base"}
    parameters = made.spec["root"]["inputDefinitions"]["parameters"]
    assert parameters["input_base"]["defaultValue"] == uri
    # An importer has no container, and no settings of Kubernetes.
    assert made.platform == compiled.platform


def test_an_unknown_step_name_is_rejected() -> None:
    make = lazily("pipeline.kubeflow_runner", "compile_pipeline")
    with pytest.raises(UsageError, match=r"'Trainr'.*Did you mean Trainer\?"):
        make(load((), ["kubeflow.steps.Trainr.cpu=1"]))


def test_the_pusher_waits_for_the_servability_check(compiled: Any) -> None:
    """It takes the place of InfraValidator, which TFX does not compile (tfx#5512)."""
    source = tasks(compiled)["Pusher"]["inputs"]["artifacts"]["infra_blessing"]
    producer = source["taskOutputArtifact"]["producerTask"]
    assert producer == "ServabilityCheck"
    outputs = compiled.spec["components"][f"comp-{producer}"]["outputDefinitions"]
    kind = outputs["artifacts"]["blessing"]["artifactType"]
    assert "title: tfx.InfraBlessing" in kind["instanceSchema"]


def test_vertex_gets_a_job(compiled: Any) -> None:
    job = json.loads(compiled.to_vertex_json())
    root = job["runtimeConfig"]["gcsOutputDirectory"]
    assert root == compiled.spec["defaultPipelineRoot"]
    assert root == "minio://mlpipeline/two-tower"
    assert job["pipelineSpec"]["schemaVersion"] == "2.1.0"
    # The open-source server takes no such wrapper.
    problems = check(yaml.safe_dump(job)).problems
    assert "only Vertex AI accepts" in str(problems[0])


def test_vertex_has_no_volumes() -> None:
    check_vertex = lazily("pipeline.kubeflow.compiled", "check_vertex")
    folders = [
        f"kubeflow.{name}=gs://b/{name}"
        for name in ("pipeline_root", "input_base", "serving_dir")
    ]
    with pytest.raises(UsageError, match=r"kubeflow\.volumes is set"):
        check_vertex(load((), folders))
    check_vertex(load((), [*folders, "kubeflow.volumes=[]"]))


def test_the_old_schema_version_is_rejected(compiled: Any) -> None:
    spec = copy.deepcopy(compiled.spec)
    spec["schemaVersion"] = "2.0.0"
    assert "it is 2.0.0, not 2.1.0" in str(check(yaml.safe_dump(spec)).problems[0])
