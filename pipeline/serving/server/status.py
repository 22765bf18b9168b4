"""State of the versions and types of the signatures, in TensorFlow Serving's JSON."""

from __future__ import annotations

from typing import Any

from pipeline.serving.server.errors import not_found
from pipeline.serving.server.loaded import LoadedVersion
from pipeline.serving.server.predictor import Predictor, Target


def status_json(predictor: Predictor, target: Target) -> dict[str, Any]:
    """Returns `GetModelStatusResponse` as JSON.

    Raises:
      RequestError: There is no such model or version.
    """
    return {
        "model_version_status": [
            {
                "version": str(version),
                "state": state,
                "status": {"error_code": code, "error_message": message},
            }
            for version, state, code, message in states(predictor, target)
        ]
    }


def states(predictor: Predictor, target: Target) -> list[tuple[int, str, str, str]]:
    """Returns number, state, code and message of each version, newest first.

    Raises:
      RequestError: There is no such model or version.
    """
    versions = predictor.versions
    if target.name != versions.name:
        raise not_found(f"Could not find any versions of model {target.name}")
    found = {v.version: ("AVAILABLE", "OK", "") for v in versions.loaded()}
    for version, cause in list(versions.failures.items()):
        found.setdefault(version, ("END", "UNKNOWN", cause))
    rows = [(version, *found[version]) for version in sorted(found, reverse=True)]
    if target.version is None:
        return rows
    wanted = target.version
    if isinstance(wanted, str):
        wanted = versions.get(wanted).version
    rows = [row for row in rows if row[0] == wanted]
    if not rows:
        raise not_found(f"Could not find version {wanted} of model {target.name}")
    return rows


def metadata_json(version: LoadedVersion, name: str) -> dict[str, Any]:
    """Returns what TensorFlow Serving's `/metadata` returns."""
    signatures = {
        key: {
            "inputs": {n: _tensor(t) for n, t in signature.inputs.items()},
            "outputs": {n: _tensor(t) for n, t in signature.outputs.items()},
            "method_name": signature.method_name,
        }
        for key, signature in version.signature_defs().items()
    }
    return {
        "model_spec": {
            "name": name,
            "signature_name": "",
            "version": str(version.version),
        },
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _tensor(info: Any) -> dict[str, Any]:
    from tensorflow.core.framework import types_pb2

    return {
        "dtype": types_pb2.DataType.Name(info.dtype),
        "tensor_shape": {
            "dim": [
                {"size": str(d.size), "name": d.name} for d in info.tensor_shape.dim
            ],
            "unknown_rank": info.tensor_shape.unknown_rank,
        },
        "name": info.name,
    }
