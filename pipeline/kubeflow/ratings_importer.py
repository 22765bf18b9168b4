"""Brings ratings from stores that the launcher can read and TensorFlow cannot."""

from __future__ import annotations

from typing import Any, Final

from pipeline.kubeflow.spec_patches import Spec, component_of, tasks

RATINGS: Final = "ratings"
_IMPORTER: Final = "RatingsImporter"
_SCHEMES: Final = ("s3://", "minio://")
_OUTPUT: Final = "artifact"
_TYPE: Final = {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}


def import_ratings(spec: Spec, reader: str, parameter: str, place: str) -> None:
    """Has the launcher bring ratings from `s3://` and `minio://`.

    TensorFlow opens neither. The launcher does, with the namespace's own credentials,
    but mirrors artifacts only: an importer makes one of the folder.

    Args:
      spec: The pipeline.
      reader: The task that reads the ratings.
      parameter: The run's parameter that says where they are.
      place: What it is by default; nothing is done where TensorFlow can read it.
    """
    if not place.startswith(_SCHEMES):
        return
    task = tasks(spec)[reader]
    inputs = component_of(spec, task).setdefault("inputDefinitions", {})
    inputs.setdefault("artifacts", {})[RATINGS] = {"artifactType": dict(_TYPE)}
    source = {"producerTask": _IMPORTER, "outputArtifactKey": _OUTPUT}
    given = task.setdefault("inputs", {}).setdefault("artifacts", {})
    given[RATINGS] = {"taskOutputArtifact": source}
    task.setdefault("dependentTasks", []).append(_IMPORTER)
    tasks(spec)[_IMPORTER] = _task(parameter)
    spec["components"][f"comp-{_IMPORTER}"] = _component()
    spec["deploymentSpec"]["executors"][f"exec-{_IMPORTER}"] = {
        "importer": {
            "artifactUri": {"runtimeParameter": "uri"},
            "typeSchema": dict(_TYPE),
        }
    }


def _task(parameter: str) -> dict[str, Any]:
    return {
        "taskInfo": {"name": _IMPORTER},
        "componentRef": {"name": f"comp-{_IMPORTER}"},
        "cachingOptions": {},
        "inputs": {"parameters": {"uri": {"componentInputParameter": parameter}}},
    }


def _component() -> dict[str, Any]:
    return {
        "executorLabel": f"exec-{_IMPORTER}",
        "inputDefinitions": {"parameters": {"uri": {"parameterType": "STRING"}}},
        "outputDefinitions": {"artifacts": {_OUTPUT: {"artifactType": dict(_TYPE)}}},
    }
