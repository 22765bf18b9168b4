"""The manifests against Kubernetes' own types, and against what the steps expect."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import models
from packaging.version import Version

from pipeline.kubeflow.config import KubeflowConfig

FOLDER = Path(__file__).resolve().parents[2] / "kubeflow" / "manifests"
FILES = sorted(FOLDER.rglob("*.yaml"))
CONFIG = KubeflowConfig()
VOLUME = CONFIG.volumes[0]


def resources() -> list[dict[str, Any]]:
    found = [item for path in FILES for item in yaml.safe_load_all(path.read_text())]
    return [item for item in found if item["kind"] != "Kustomization"]


def only(kind: str) -> dict[str, Any]:
    (found,) = (item for item in resources() if item["kind"] == kind)
    return found


def problems(value: Any, kind: str, path: str) -> Iterator[str]:
    """Walks a resource along the types of Kubernetes' client."""
    if listed := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(value, list):
            yield f"{path} is not a list"
            return
        for number, item in enumerate(value):
            yield from problems(item, listed[1], f"{path}[{number}]")
    elif kind == "object":  # a name or a number, such as the port of a rule
        return
    elif kind in ("str", "int", "bool"):
        wanted = {"str": str, "int": int, "bool": bool}[kind]
        if not isinstance(value, wanted):
            yield f"{path} is {value!r}, not a {kind}"
    elif hasattr(models, kind):
        model = getattr(models, kind)
        names = {json: name for name, json in model.attribute_map.items()}
        for key, item in value.items():
            if key not in names:
                yield f"{path} has no {key}"
                continue
            yield from problems(item, model.openapi_types[names[key]], f"{path}.{key}")


@pytest.mark.parametrize("resource", resources(), ids=lambda item: str(item["kind"]))
def test_every_field_is_known_to_kubernetes(resource: dict[str, Any]) -> None:
    kind = f"V1{resource['kind']}"
    assert list(problems(resource, kind, resource["kind"])) == []


def test_unknown_fields_and_wrong_types_are_found() -> None:
    deployment = only("Deployment")
    deployment["spec"]["replica"] = deployment["spec"].pop("replicas")
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
    (volume,) = pod["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == VOLUME.claim
    (server,) = pod["containers"]
    assert f"--model_base_path={CONFIG.serving_dir}" in server["args"]


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


def pods() -> list[tuple[str, dict[str, Any]]]:
    """Name and specification of everything that starts containers."""
    found = []
    for item in resources():
        spec = item["spec"] if "spec" in item else {}
        for pod in (spec, spec.get("template", {}).get("spec", {})):
            if "containers" in pod:
                found.append((f"{item['kind']} {item['metadata']['name']}", pod))
    return found


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
    assert context["readOnlyRootFilesystem"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert all({"name", "persistentVolumeClaim"} == set(v) for v in pod["volumes"])
    assert not pod["automountServiceAccountToken"]


@pytest.mark.parametrize(("pod", "container"), containers())
def test_every_container_has_limits_and_an_image_of_one_version(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert re.fullmatch(
        r"[\w./-]+:\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?", container["image"]
    )


def test_namespaces_enforce_the_profile_restricted() -> None:
    labels = only("Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_server_is_not_older_than_the_tensorflow_that_exports() -> None:
    (server,) = only("Deployment")["spec"]["template"]["spec"]["containers"]
    version = Version(re.search(r":([\d.]+)", server["image"])[1])  # type: ignore[index]
    for lock in sorted((FOLDER.parents[1] / "requirements").glob("tfx*.txt")):
        exporting = re.search(r"^tensorflow==([\d.]+)", lock.read_text(), re.M)
        assert exporting and version.release[:2] >= Version(exporting[1]).release[:2]


def test_the_server_answers_named_callers_by_grpc_only() -> None:
    """CVE-2025-0649: one nested JSON stops a server."""
    (server,) = only("Deployment")["spec"]["template"]["spec"]["containers"]
    assert not [argument for argument in server["args"] if "rest_api" in argument]
    assert [port["containerPort"] for port in server["ports"]] == [8500]
    assert [port["targetPort"] for port in only("Service")["spec"]["ports"]] == ["grpc"]
    policy = only("NetworkPolicy")["spec"]
    labels = only("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert policy["policyTypes"] == ["Ingress", "Egress"] and policy["egress"] == []
    (rule,) = policy["ingress"]
    (caller,) = rule["from"]
    assert caller["podSelector"]["matchLabels"]
    assert [port["port"] for port in rule["ports"]] == ["grpc"]


def test_the_server_sees_the_pushed_models_and_no_ratings() -> None:
    (server,) = only("Deployment")["spec"]["template"]["spec"]["containers"]
    (mount,) = server["volumeMounts"]
    assert mount["readOnly"]
    assert f"{VOLUME.path}/{mount['subPath']}" == mount["mountPath"]
    assert mount["mountPath"] == CONFIG.serving_dir


def test_images_of_the_documentation_have_versions() -> None:
    text = (FOLDER.parent / "README.md").read_text()
    assert not re.findall(r"image[=:] ?\"?(busybox|tensorflow/serving)[\"\s]", text)
    assert ":latest" not in text
