"""How the ratings reach the first step: from a volume, from gs://, s3:// or minio://.

The step reads volumes by itself and copies gs://, which TensorFlow opens. It opens
neither s3:// nor minio://: Kubeflow's launcher downloads those, but only as artifacts,
so the compiled file gets an importer task that makes an artifact of the folder.
"""

from __future__ import annotations

import os
from typing import Any, Final

from pipeline.kubeflow.compiled import CompiledPipeline
from pipeline.kubeflow.config import INPUT_BASE_PARAMETER
from pipeline.kubeflow.executor_input import check_key
from trainer.errors import UserError

# The task that reads the ratings.
READER: Final = "MovieLensExampleGen"
RATINGS: Final = "ratings"
_IMPORTER: Final = "RatingsImporter"
_LAUNCHER_SCHEMES: Final = ("s3://", "minio://")
_OUTPUT: Final = "artifact"
_TYPE: Final = {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}


def import_ratings(pipeline: CompiledPipeline, uri: str) -> None:
    """Adds an importer task if only the launcher can read the ratings.

    Args:
      pipeline: The pipeline; changed.
      uri: The default of the parameter `input_base`.
    """
    if not uri.startswith(_LAUNCHER_SCHEMES):
        return
    task = pipeline.tasks[READER]
    inputs = pipeline.component(READER).setdefault("inputDefinitions", {})
    inputs.setdefault("artifacts", {})[RATINGS] = {"artifactType": dict(_TYPE)}
    source = {"producerTask": _IMPORTER, "outputArtifactKey": _OUTPUT}
    given = task.setdefault("inputs", {}).setdefault("artifacts", {})
    given[RATINGS] = {"taskOutputArtifact": source}
    task.setdefault("dependentTasks", []).append(_IMPORTER)
    component, executor = f"comp-{_IMPORTER}", f"exec-{_IMPORTER}"
    parameter = {"componentInputParameter": INPUT_BASE_PARAMETER}
    pipeline.tasks[_IMPORTER] = {
        "taskInfo": {"name": _IMPORTER},
        "componentRef": {"name": component},
        "cachingOptions": {},
        "inputs": {"parameters": {"uri": parameter}},
    }
    pipeline.components[component] = {
        "executorLabel": executor,
        "inputDefinitions": {"parameters": {"uri": {"parameterType": "STRING"}}},
        "outputDefinitions": {"artifacts": {_OUTPUT: {"artifactType": dict(_TYPE)}}},
    }
    pipeline.executors[executor] = {
        "importer": {
            "artifactUri": {"runtimeParameter": "uri"},
            "typeSchema": dict(_TYPE),
        }
    }


def local_input(inputs: dict[str, Any], folder: str) -> str:
    """The local folder from which the step reads the ratings.

    Args:
      inputs: Inputs of the step; the imported artifact, unknown to TFX, is removed.
      folder: Where files at gs:// are copied to.

    Raises:
      UserError: There are no files, or they cannot be read.
    """
    input_base = str(inputs["parameterValues"][INPUT_BASE_PARAMETER])
    imported = inputs.get("artifacts", {}).pop(RATINGS, None)
    if imported is None:
        return copy_remote(input_base, folder)
    downloaded = str(imported["artifacts"][0]["uri"])
    if not os.path.isdir(downloaded) or not os.listdir(downloaded):
        raise _no_files(input_base)
    return downloaded


def copy_remote(input_base: str, folder: str) -> str:
    """Copies a remote folder to `folder`, and returns that; a local path is returned.

    Raises:
      UserError: TensorFlow does not open such URIs, the folder does not exist or cannot
        be read, or an object has a key that is no path.
    """
    if "://" not in input_base:
        return input_base
    import tensorflow as tf

    source = input_base.rstrip("/")
    try:
        # A folder that cannot be listed would be empty: `walk` ignores errors.
        tf.io.gfile.stat(source)
        files = _files(source)
    except tf.errors.NotFoundError as error:
        raise _no_files(input_base) from error
    except tf.errors.OpError as error:
        raise UserError(
            f"{input_base} cannot be read: {' '.join(str(error.message).split())}",
            "Give a folder of a mounted volume or at gs://, and the service account "
            "permission to read it; for s3:// and minio:// set kubeflow.input_base to "
            "it and compile again.",
        ) from error
    if not files:
        raise _no_files(input_base)
    for path in files:
        key = path.removeprefix(source).removeprefix("/")
        check_key(key, path)
        target = os.path.join(folder, key)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        tf.io.gfile.copy(path, target)
    return folder


def _files(source: str) -> list[str]:
    """Lists the files of a remote folder and of those in it."""
    import tensorflow as tf

    def fail(error: Exception) -> None:
        raise error

    return [
        f"{parent.rstrip('/')}/{name}"
        for parent, _, names in tf.io.gfile.walk(source, onerror=fail)
        for name in names
        if name  # not the empty object that stands for the folder
    ]


def _no_files(input_base: str) -> UserError:
    return UserError(
        f"{input_base} holds no files", "Give the folder with the ratings."
    )
