"""Rules about places, secrets and Kubernetes' settings.

See `pipeline.kubeflow.validation.rules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from pipeline.kubeflow.validation.problems import Documents, Problem

_ROOTS: Final = ("minio://", "s3://", "gs://")
# Fields of KubernetesExecutorConfig that servers since 2.0 know, and what they hold.
# https://github.com/kubeflow/pipelines/tree/master/kubernetes_platform/proto
_FIELDS: Final[dict[str, type]] = {
    "imagePullPolicy": str,
    "imagePullSecret": list,
    "nodeSelector": dict,
    "tolerations": list,
    "secretAsEnv": list,
    "pvcMount": list,
    "activeDeadlineSeconds": str,
}
_SECRET_NAME: Final = re.compile(
    r"passw|secret|token|credential|private|api_?key|access_?key", re.I
)
_FLAG: Final = re.compile(r"^--(?P<name>[\w-]+)=(?P<value>.+)$", re.S)


def root_is_an_object_store(documents: Documents) -> Iterator[Problem]:
    """The launcher uploads artifacts; it knows three kinds of stores."""
    root = documents.spec.get("defaultPipelineRoot")
    if root is not None and not str(root).startswith(_ROOTS):
        yield Problem("root", f"defaultPipelineRoot {root!r} is no object store")


def settings_are_known(documents: Documents) -> Iterator[Problem]:
    """What is wrong here is dropped without a word (`v2_template.go`, `visitor.go`)."""
    if not documents.platform:
        return
    kubernetes = documents.platform["platforms"].get("kubernetes")
    if kubernetes is None:
        yield Problem("platform", "the second document says nothing of kubernetes")
        return
    executors: dict[str, Any] = kubernetes.get("deploymentSpec", {}).get(
        "executors", {}
    )
    for label, settings in executors.items():
        if label not in documents.executors:
            yield Problem("platform", f"there is no executor {label}")
        for key, value in settings.items():
            if not isinstance(value, _FIELDS.get(key, ())):
                yield Problem("platform", f"{label}: {key} is unknown or misshaped")


def no_secret_is_written(documents: Documents) -> Iterator[Problem]:
    """Everybody who may see a pipeline may read its file.

    https://github.com/tensorflow/tfx/issues/3326
    """
    for task, container in documents.containers():
        for variable in container.get("env", []):
            if _SECRET_NAME.search(variable["name"]) and variable.get("value"):
                yield Problem(
                    "secret", f"{task}: the value of {variable['name']} is in the file"
                )
        for argument in container.get("args", []):
            flag = _FLAG.match(argument)
            if flag and _SECRET_NAME.search(flag["name"]):
                yield Problem(
                    "secret", f"{task}: the value of --{flag['name']} is in the file"
                )
