"""The manifests against Kubernetes' own types, and against what the steps expect."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import models

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
    assert server["volumeMounts"][0]["mountPath"] == VOLUME.path
    assert f"--model_base_path={CONFIG.serving_dir}" in server["args"]


def test_roles_grant_no_more_than_needed() -> None:
    for rule in only("Role")["rules"]:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        if rule["resources"] == ["secrets"]:
            assert rule["verbs"] == ["get"] and rule["resourceNames"]
    pod = only("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert all(mount["readOnly"] for mount in pod["containers"][0]["volumeMounts"])


def test_no_secret_is_in_the_files() -> None:
    """tfx#3326, tfx#5049: secrets are named, never written."""
    assert "Secret" not in {item["kind"] for item in resources()}
    assert not re.search(r"(password|token|key): *\S{8}", str(resources()), re.I)


def test_images_have_versions() -> None:
    (server,) = only("Deployment")["spec"]["template"]["spec"]["containers"]
    assert re.search(r":\d", server["image"])
