"""The manifests against Kubernetes' own types, and against what the steps expect."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from packaging.version import Version

from components.serving_directory.layout import (
    CANARY_CONFIG,
    MODELS_CONFIG,
    STABLE_CONFIG,
)
from pipeline.config import ServingConfig
from pipeline.kubeflow.config import KubeflowConfig
from tests.fixtures.manifests import (
    FLINK_CONTAINER,
    FOLDER,
    only,
    pods,
    problems,
    resources,
)

CONFIG = KubeflowConfig()
VOLUME = CONFIG.volumes[0]

# Kinds that the client of Kubernetes does not know: each has a test of its own.
OTHERS = ("InferenceService", "FlinkDeployment")


@pytest.mark.parametrize(
    "resource",
    [item for item in resources() if item["kind"] not in OTHERS],
    ids=lambda item: str(item["kind"]),
)
def test_every_field_is_known_to_kubernetes(resource: dict[str, Any]) -> None:
    version = resource["apiVersion"].rpartition("/")[2].upper()
    assert list(problems(resource, version + resource["kind"], resource["kind"])) == []


# Fields of `serving.kserve.io/v1beta1` beside those of a pod and of a container.
PREDICTOR = {
    *("minReplicas", "maxReplicas", "timeout", "canaryTrafficPercent", "scaleTarget"),
    *("scaleMetric", "model", "batcher", "logger", "containerConcurrency"),
}
MODEL = {"modelFormat", "runtime", "runtimeVersion", "protocolVersion", "storageUri"}


def predictor(resource: dict[str, Any]) -> dict[str, Any]:
    """The predictor, whose fields are those that KServe knows."""
    assert resource["apiVersion"] == "serving.kserve.io/v1beta1"
    assert set(resource["spec"]) == {"predictor"}
    found: dict[str, Any] = resource["spec"]["predictor"]
    pod = {key: value for key, value in found.items() if key not in PREDICTOR}
    assert list(problems(pod, "V1PodSpec", "predictor")) == []
    container = {k: v for k, v in found["model"].items() if k not in MODEL}
    assert list(problems(container, "V1Container", "model")) == []
    assert set(found["model"]["modelFormat"]) <= {"name", "version"}
    return found


def test_kserve_serves_the_label_stable_from_the_volume() -> None:
    found = predictor(only("InferenceService"))
    folder = CONFIG.serving_dir.removeprefix(f"{VOLUME.path}/")
    assert found["model"]["storageUri"] == f"pvc://{VOLUME.claim}/{folder}"
    assert f"--model_config_file=/mnt/models/{STABLE_CONFIG}" in found["model"]["args"]
    assert found["model"]["securityContext"]["allowPrivilegeEscalation"] is False
    server = only("Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert server["image"].endswith(f":{found['model']['runtimeVersion']}")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_the_overlays_are_built_by_kustomize() -> None:
    """`kubectl kustomize` needs no cluster."""

    def build(name: str) -> list[dict[str, Any]]:
        command = ["kubectl", "kustomize", str(FOLDER / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return list(yaml.safe_load_all(done.stdout))

    for name in ("overlays/standalone", "overlays/team"):
        found = {item["kind"]: item for item in build(name)}
        (config,) = (
            volume["configMap"]["name"]
            for volume in found["Deployment"]["spec"]["template"]["spec"]["volumes"]
            if "configMap" in volume
        )
        assert found["ConfigMap"]["metadata"]["name"] == config
        assert set(found["ConfigMap"]["data"]) == {
            *("batching.config", "monitoring.config")
        }
    [canary] = build("kserve-canary")
    shares = predictor(canary)
    assert shares["canaryTrafficPercent"] == 10
    assert f"--model_config_file=/mnt/models/{CANARY_CONFIG}" in shares["model"]["args"]


def test_the_batch_sizes_grow_to_the_largest_batch() -> None:
    text = (FOLDER / "base" / "server" / "batching.config").read_text()
    sizes = [
        int(size) for size in re.findall(r"^allowed_batch_sizes: (\d+)$", text, re.M)
    ]
    [largest] = re.findall(r"^max_batch_size { value: (\d+) }$", text, re.M)
    assert sizes == sorted(set(sizes)) and sizes[-1] == int(largest)
    assert sizes[-1] == ServingConfig().max_batch, "what the model takes, and no more"
    assert "\npad_variable_length_inputs: true\n" in text


def test_unknown_fields_and_wrong_types_are_found() -> None:
    deployment = only("Deployment")
    deployment["spec"]["replica"] = 2
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = 1
    assert list(problems(deployment, "V1Deployment", "d")) == [
        "d.spec.template.spec.containers[0].image is 1, not a str",
        "d.spec has no replica",
    ]


def test_overlays_name_files_that_exist() -> None:
    for path in FOLDER.rglob("kustomization.yaml"):
        for resource in yaml.safe_load(path.read_text())["resources"]:
            assert (path.parent / resource).exists(), f"{path}: {resource}"


def test_claim_and_paths_are_those_of_the_configuration() -> None:
    assert only("PersistentVolumeClaim")["metadata"]["name"] == VOLUME.claim
    pod = only("Deployment")["spec"]["template"]["spec"]
    volume = pod["volumes"][0]
    assert volume["persistentVolumeClaim"]["claimName"] == VOLUME.claim
    (server,) = pod["containers"]
    config = f"{CONFIG.serving_dir}/{MODELS_CONFIG}"
    assert f"--model_config_file={config}" in server["args"]
    (first,) = pod["initContainers"]
    assert config in first["command"][-1] and first["image"] == server["image"]


def test_roles_grant_no_more_than_needed() -> None:
    for rule in only("Role")["rules"]:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        if rule["resources"] == ["secrets"]:
            assert rule["verbs"] == ["get"] and rule["resourceNames"]
        if rule["resources"] == ["pods"]:
            assert rule["verbs"] == ["get"]


def test_no_secret_is_in_the_files() -> None:
    """tfx#3326, tfx#5049: secrets are named, never written."""
    assert "Secret" not in {item["kind"] for item in resources()}
    assert not re.search(r"(password|token|key): *\S{8}", str(resources()), re.I)


def containers() -> list[Any]:
    return [
        pytest.param(pod, container, id=f"{name}: {container['name']}")
        for name, pod in pods()
        for container in (*pod["containers"], *pod.get("initContainers", ()))
    ]


@pytest.mark.parametrize(("pod", "container"), containers())
def test_every_container_is_admitted_by_the_profile_restricted(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/."""
    context = container["securityContext"]
    assert context["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert context["allowPrivilegeEscalation"] is False
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["capabilities"] == {"drop": ["ALL"]}
    if container["name"] != FLINK_CONTAINER:  # its start script writes files
        assert context["readOnlyRootFilesystem"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    kinds = {kind for volume in pod["volumes"] for kind in volume} - {"name"}
    assert kinds <= {"persistentVolumeClaim", "configMap", "emptyDir"}
    assert not pod["automountServiceAccountToken"]


@pytest.mark.parametrize(("pod", "container"), containers())
def test_every_container_has_limits_and_an_image_of_one_version(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    if container["image"] == "two-tower":  # given a name by kustomize
        return
    assert re.fullmatch(
        r"[\w./-]+:\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?", container["image"]
    )


def test_namespaces_enforce_the_profile_restricted() -> None:
    labels = only("Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_server_is_scaled_probed_and_kept() -> None:
    deployment = only("Deployment")
    scaler = only("HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"], "each `kubectl apply` would reset it"
    budget = only("PodDisruptionBudget")["spec"]
    assert budget["minAvailable"] < scaler["minReplicas"] <= scaler["maxReplicas"]
    (server,) = deployment["spec"]["template"]["spec"]["containers"]
    assert "--enable_grpc_healthcheck_service=true" in server["args"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe]["grpc"]["port"] == 8500
    assert "--allow_version_labels_for_unavailable_models=true" in server["args"]


def test_the_server_is_not_older_than_the_tensorflow_that_exports() -> None:
    (server,) = only("Deployment")["spec"]["template"]["spec"]["containers"]
    version = Version(re.search(r":([\d.]+)", server["image"])[1])  # type: ignore[index]
    for lock in sorted((FOLDER.parents[1] / "requirements").glob("tfx*.txt")):
        exporting = re.search(r"^tensorflow==([\d.]+)", lock.read_text(), re.M)
        assert exporting and version.release[:2] >= Version(exporting[1]).release[:2]


def test_the_server_answers_named_callers_by_grpc_only() -> None:
    """CVE-2025-0649: one nested JSON stops a server."""
    (server,) = only("Deployment")["spec"]["template"]["spec"]["containers"]
    assert [port["name"] for port in server["ports"]] == ["grpc", "metrics"]
    assert [port["targetPort"] for port in only("Service")["spec"]["ports"]] == ["grpc"]
    policy = only("NetworkPolicy")["spec"]
    labels = only("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert policy["policyTypes"] == ["Ingress", "Egress"] and policy["egress"] == []
    rule, metrics = policy["ingress"]
    (caller,) = rule["from"]
    assert caller["podSelector"]["matchLabels"]
    assert [port["port"] for port in rule["ports"]] == ["grpc"]
    (scraper,) = metrics["from"]
    assert scraper["namespaceSelector"]["matchLabels"]
    assert [port["port"] for port in metrics["ports"]] == ["metrics"]


def test_the_server_sees_the_pushed_models_and_no_ratings() -> None:
    (server,) = only("Deployment")["spec"]["template"]["spec"]["containers"]
    mount, config = server["volumeMounts"]
    assert mount["readOnly"] and config["readOnly"]
    assert f"{VOLUME.path}/{mount['subPath']}" == mount["mountPath"]
    assert mount["mountPath"] == CONFIG.serving_dir


def test_images_of_the_documentation_have_versions() -> None:
    text = (FOLDER.parent / "README.md").read_text()
    assert not re.findall(r"image[=:] ?\"?(busybox|tensorflow/serving)[\"\s]", text)
    assert ":latest" not in text
