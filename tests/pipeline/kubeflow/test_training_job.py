"""The TFJob of several workers, and the Trainer step that hands over to it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.config.loading import load
from pipeline.kubeflow import training_job
from pipeline.kubeflow.compiled import CompiledPipeline
from pipeline.kubeflow.step_settings import set_container_options
from tests.fixtures.manifests import problems
from tests.pipeline.kubeflow.conftest import SETTINGS
from trainer.errors import UsageError
from trainer.workers.cluster import JOB_VARIABLE

CONFIG = load((), (*SETTINGS, "train.workers=3", "kubeflow.defaults.memory_gb=1.5"))
JOB = training_job.manifest(CONFIG.kubeflow, CONFIG.train.workers)
WORKER = JOB["spec"]["tfReplicaSpecs"]["Worker"]
# Of `TFJobSpec` and `RunPolicy` in the definition of Kubeflow's training operator 1.9.
POLICY = {
    *("activeDeadlineSeconds", "backoffLimit", "cleanPodPolicy", "managedBy"),
    *("schedulingPolicy", "suspend", "ttlSecondsAfterFinished"),
}


def test_every_field_is_known_to_the_operator_and_to_kubernetes() -> None:
    assert set(JOB) == {"apiVersion", "kind", "metadata", "spec"}
    assert (JOB["apiVersion"], JOB["kind"]) == ("kubeflow.org/v1", "TFJob")
    assert set(JOB["spec"]) == {"runPolicy", "tfReplicaSpecs"}
    assert set(JOB["spec"]["runPolicy"]) <= POLICY
    assert set(WORKER) == {"replicas", "restartPolicy", "template"}
    assert list(problems(WORKER["template"], "V1PodTemplateSpec", "template")) == []
    assert list(problems(JOB["metadata"], "V1ObjectMeta", "metadata")) == []


def test_pods_have_what_the_configuration_gives_to_the_trainer() -> None:
    pod = WORKER["template"]["spec"]
    (container,) = pod["containers"]
    assert (WORKER["replicas"], container["name"]) == (3, "tensorflow")
    assert container["image"] == "registry.example.com/two-tower:1"
    assert container["resources"]["limits"] == {
        "cpu": "8",
        "memory": "1500M",
        "nvidia.com/gpu": "1",
    }
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert JOB["spec"]["runPolicy"]["activeDeadlineSeconds"] == 600
    variables = {item["name"]: item for item in container["env"]}
    assert variables["LEVEL"]["value"] == "1"
    assert variables["STORE_KEY"]["valueFrom"]["secretKeyRef"]["name"] == "store"
    (mount,), (volume,) = container["volumeMounts"], pod["volumes"]
    assert mount["name"] == volume["name"]
    assert CONFIG.kubeflow.training_dir.startswith(f"{mount['mountPath']}/")
    assert volume["persistentVolumeClaim"] == {"claimName": "two-tower"}


def test_pods_are_admitted_by_the_profile_restricted() -> None:
    pod = WORKER["template"]["spec"]
    context = pod["containers"][0]["securityContext"]
    assert context["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert context["allowPrivilegeEscalation"] is False
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.slow
def test_the_step_gets_the_job_and_needs_little_itself(
    pipeline: CompiledPipeline,
) -> None:
    settings = training_job.with_small_step(CONFIG.kubeflow)
    set_container_options(pipeline, settings)
    training_job.declare(pipeline, CONFIG)
    container = pipeline.executor("Trainer")["container"]
    variables = {item["name"]: item["value"] for item in container["env"]}
    content: dict[str, Any] = json.loads(variables[JOB_VARIABLE])
    assert content == {"folder": "/mnt/two-tower/training", "manifest": JOB}
    assert variables["LEVEL"] == "1"
    assert "accelerator" not in container["resources"]
    assert container["resources"]["cpuLimit"] == 1.0
    others = [
        item["name"]
        for name, other in pipeline.containers()
        for item in other.get("env", ())
        if name != "Trainer"
    ]
    assert JOB_VARIABLE not in others


@pytest.mark.slow
def test_a_folder_that_is_in_no_volume_is_refused(pipeline: CompiledPipeline) -> None:
    config = load((), ("train.workers=2", "kubeflow.training_dir=/tmp/training"))
    with pytest.raises(UsageError, match=r"kubeflow\.training_dir is /tmp/training"):
        training_job.declare(pipeline, config)


def test_one_worker_needs_no_job() -> None:
    assert not training_job.has_job(load())
