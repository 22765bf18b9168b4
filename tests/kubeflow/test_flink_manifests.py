"""Flink's manifests against the operator's fields, and against what Beam supports.

The fields of `flink.apache.org/v1beta1` were compared with the definition of the
operator's main branch in July 2026; that definition is no part of this repository.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.engines.config import EngineConfig
from pipeline.kubeflow.config import KubeflowConfig
from tests.fixtures.manifests import (
    FLINK,
    FLINK_CONTAINER,
    FOLDER,
    flink_pods,
    only,
    problems,
    read,
)

REPOSITORY = FOLDER.parents[1]
DEPLOYMENT = only("FlinkDeployment", flink=True)
PODS = flink_pods(DEPLOYMENT)
VOLUME = KubeflowConfig().volumes[0]
SPEC = {
    *("flinkConfiguration", "flinkVersion", "image", "imagePullPolicy", "ingress"),
    *("job", "jobManager", "logConfiguration", "mode", "podTemplate", "restartNonce"),
    *("serviceAccount", "taskManager"),
}
ROLE = {"podTemplate", "replicas", "resource", "resources"}


def job_server(resources: list[dict[str, Any]]) -> dict[str, Any]:
    (server,) = (item for item in resources if item["kind"] == "Deployment")
    (container,) = server["spec"]["template"]["spec"]["containers"]
    return dict(container)


def sidecar() -> dict[str, Any]:
    (found,) = PODS["taskManager"]["initContainers"]
    return dict(found)


def test_every_field_is_known_to_the_operator() -> None:
    assert DEPLOYMENT["apiVersion"] == "flink.apache.org/v1beta1"
    spec = DEPLOYMENT["spec"]
    assert set(spec) <= SPEC and spec["mode"] in ("native", "standalone")
    assert "job" not in spec, "a session cluster, which takes many jobs"
    for role in ("jobManager", "taskManager"):
        assert set(spec[role]) <= ROLE
        assert set(spec[role]["resource"]) <= {"cpu", "memory", "ephemeralStorage"}
    for value in spec["flinkConfiguration"].values():
        assert isinstance(value, str), "the operator takes texts only"


@pytest.mark.parametrize("role", PODS)
def test_the_pods_have_fields_that_kubernetes_knows(role: str) -> None:
    pod = {**PODS[role]}
    # `restartPolicy` of a container is newer than the installed client.
    pod["initContainers"] = [
        {key: value for key, value in item.items() if key != "restartPolicy"}
        for item in pod.get("initContainers", [])
    ]
    assert list(problems(pod, "V1PodSpec", role)) == []


def test_a_worker_pool_of_our_image_is_ready_before_each_task_manager() -> None:
    found = sidecar()
    assert found["restartPolicy"] == "Always", "a sidecar, not a task before the start"
    assert found["startupProbe"]["tcpSocket"]["port"] == found["ports"][0]["name"]
    assert f"--port={found['ports'][0]['containerPort']}" in found["args"]
    assert found["securityContext"]["runAsUser"] == KubeflowConfig().run_as_user
    slots = DEPLOYMENT["spec"]["flinkConfiguration"]["taskmanager.numberOfTaskSlots"]
    assert slots == "1", "one Python process for each worker pool"


def test_steps_workers_and_job_server_see_the_volume_at_one_path() -> None:
    pods = [*PODS.values()]
    (server,) = (i for i in read(FLINK / "job-server.yaml") if i["kind"] != "Service")
    pods.append(server["spec"]["template"]["spec"])
    for pod in pods:
        volume = pod["volumes"][0]
        assert volume["persistentVolumeClaim"]["claimName"] == VOLUME.claim
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            mounts = {item["name"]: item for item in container["volumeMounts"]}
            assert mounts[volume["name"]]["mountPath"] == VOLUME.path
            if container["name"] == FLINK_CONTAINER:
                assert mounts[volume["name"]]["readOnly"]


def test_the_job_server_is_reached_by_the_name_that_it_gives_to_steps() -> None:
    server = job_server(read(FLINK / "job-server.yaml"))
    service = only("Service", flink=True)
    arguments = dict(item[2:].split("=", 1) for item in server["args"])
    assert arguments["job-host"] == service["metadata"]["name"]
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    assert ports == {
        "jobs": int(arguments["job-port"]),
        "artifacts": int(arguments["artifact-port"]),
    }
    assert ports == {port["name"]: port["containerPort"] for port in server["ports"]}
    cluster = DEPLOYMENT["metadata"]["name"]
    assert arguments["flink-master"] == f"{cluster}-rest:8081", "the operator's service"
    assert arguments["artifacts-dir"].startswith(f"{VOLUME.path}/")


def test_only_the_steps_reach_the_job_server_and_only_it_reaches_flink() -> None:
    policies = {
        item["metadata"]["name"]: item["spec"] for item in read(FLINK / "network.yaml")
    }
    flink = policies[DEPLOYMENT["metadata"]["name"]]
    own = {"app": DEPLOYMENT["metadata"]["name"]}
    assert flink["podSelector"]["matchLabels"] == own
    among_themselves, rest = flink["ingress"]
    assert among_themselves["from"] == [{"podSelector": {"matchLabels": own}}]
    assert rest["ports"] == [{"protocol": "TCP", "port": 8081}]
    (server,) = policies["two-tower-beam"]["ingress"]
    labels = server["from"][0]["podSelector"]["matchLabels"]
    assert labels == {"pipelines.kubeflow.org/v2_component": "true"}


def images(resources: list[dict[str, Any]]) -> tuple[str, str, str]:
    """Version of Flink, of the job server's Flink, and of its Beam."""
    (found,) = (item for item in resources if item["kind"] == "FlinkDeployment")
    flink = re.fullmatch(r"flink:(\d+\.\d+)\.\d+", found["spec"]["image"])
    assert flink
    assert found["spec"]["flinkVersion"] == "v" + flink[1].replace(".", "_")
    image = job_server(resources)["image"]
    server = re.fullmatch(r"apache/beam_flink([\d.]+)_job_server:([\d.]+)", image)
    assert server
    return flink[1], server[1], server[2]


def locked_beam(lock: str) -> str:
    text = (REPOSITORY / "requirements" / lock).read_text()
    return re.findall(r"^apache-beam==([\d.]+)", text, re.M)[-1]


def build(name: str) -> list[dict[str, Any]]:
    command = ["kubectl", "kustomize", str(FOLDER / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize(
    ("folder", "lock"), [("flink", "tfx116.txt"), ("flink-tfx121", "tfx121.txt")]
)
def test_kustomize_builds_the_versions_of_each_lock(folder: str, lock: str) -> None:
    """`kubectl kustomize` needs no cluster."""
    from apache_beam import version
    from apache_beam.options.pipeline_options import FlinkRunnerOptions

    found = build(folder)
    flink, for_flink, beam = images(found)
    assert flink == for_flink and beam == locked_beam(lock)
    if version.__version__ == beam:
        assert flink in FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    (deployment,) = (item for item in found if item["kind"] == "FlinkDeployment")
    template = deployment["spec"]["taskManager"]["podTemplate"]["spec"]
    (workers,) = template["initContainers"]
    assert workers["image"].startswith("registry.example.com/two-tower:")


def test_the_documented_engine_is_that_of_the_manifests() -> None:
    page = (REPOSITORY / "docs" / "flink.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (engine,) = (
        loaded["engine"] for loaded in map(yaml.safe_load, blocks) if "engine" in loaded
    )
    assert EngineConfig(**engine).is_distributed
    service = only("Service", flink=True)
    jobs = service["spec"]["ports"][0]["port"]
    assert engine["master"] == f"{service['metadata']['name']}:{jobs}"
    port = sidecar()["ports"][0]["containerPort"]
    assert engine["environment_config"] == f"localhost:{port}"
    assert engine["shared_dir"].startswith(f"{VOLUME.path}/")
    assert engine["parallelism"] <= DEPLOYMENT["spec"]["taskManager"]["replicas"]
    (server,) = (i for i in read(FLINK / "job-server.yaml") if i["kind"] != "Service")
    arguments = server["spec"]["template"]["spec"]["containers"][0]["args"]
    staged = Path(engine["shared_dir"]) / "beam-artifacts"
    assert f"--artifacts-dir={staged}" in arguments


def test_the_documented_settings_of_dataflow_are_accepted() -> None:
    """With the image that the page builds, and everything in one bucket."""
    page = (REPOSITORY / "docs" / "dataflow.md").read_text()
    (block,) = re.findall(r"^ *```yaml\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL)
    loaded = yaml.safe_load(block)
    engine = EngineConfig(**loaded["engine"])
    assert engine.environment_config and f"-t {engine.environment_config} " in page
    KubeflowConfig(**loaded["kubeflow"])
    boot = (REPOSITORY / "kubeflow" / "Dockerfile.boot").read_text()
    for lock, python in (("tfx116.txt", "3.10"), ("tfx121.txt", "3.13")):
        assert f"apache/beam_python{python}_sdk:{locked_beam(lock)}" in boot
