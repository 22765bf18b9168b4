"""Files of a step where the workers of an engine see them.

The launcher downloads inputs into the pod of a step, and uploads outputs from there.
Beam's workers on a cluster are other pods. A step that gives them work therefore reads
copies in the engine's shared folder (`engine.shared_dir`), writes there, and copies its
outputs back for the launcher.
"""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from collections.abc import Iterator, Sequence
from typing import Final

from pipeline.kubeflow.executor_input import TfxInput

_LOG: Final = logging.getLogger(__name__)
# `pipeline.engines` names a folder of it in each job of an engine that has workers.
_TEMPORARY: Final = "--temp_location="


def shared_folder(executor_class: str, beam_args: Sequence[str]) -> str | None:
    """A new name in the engine's shared folder; None where a step needs none of it.

    Args:
      executor_class: Dotted path of the step's executor.
      beam_args: Arguments of Beam, which all steps are given.
    """
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.utils import import_utils

    given = [item for item in beam_args if item.startswith(_TEMPORARY)]
    if not given:
        return None
    cls = import_utils.import_class_by_path(executor_class)
    if not issubclass(cls, BaseBeamExecutor):
        return None
    return os.path.join(given[-1].removeprefix(_TEMPORARY), f"step-{uuid.uuid4().hex}")


@contextlib.contextmanager
def shared(adapted: TfxInput, folder: str | None) -> Iterator[None]:
    """Lets a step work on copies of its artifacts in a shared folder.

    Artifacts of the message and `adapted.uris` name the copies inside the block. At its
    end the outputs are copied back, unless the step has failed; the folder is removed
    in any case.

    Args:
      adapted: The message; changed.
      folder: From `shared_folder`, not yet there; None changes nothing.
    """
    if folder is None:
        yield
        return
    import tensorflow as tf

    gfile = tf.io.gfile
    try:
        for artifact in adapted.inputs():
            source, artifact["uri"] = artifact["uri"], _named(adapted, artifact, folder)
            if gfile.exists(source):
                _copy(source, artifact["uri"])
        outputs = {}
        for artifact in adapted.outputs():
            target, artifact["uri"] = artifact["uri"], _named(adapted, artifact, folder)
            gfile.makedirs(artifact["uri"])
            outputs[artifact["uri"]] = target
        yield
        for source, target in outputs.items():
            _copy(source, target)
    finally:
        _remove(folder)


def _remove(folder: str) -> None:
    """Removes the folder; what a worker still holds there must not fail the step."""
    import tensorflow as tf

    try:
        if tf.io.gfile.exists(folder):
            tf.io.gfile.rmtree(folder)
    except tf.errors.OpError as error:
        _LOG.warning("%s was not removed: %s", folder, error.message)


def _named(adapted: TfxInput, artifact: dict[str, str], folder: str) -> str:
    """A path of its own in the folder, with the artifact's last name."""
    local = artifact["uri"]
    path = os.path.join(folder, f"{len(adapted.uris)}", os.path.basename(local))
    adapted.uris[path] = adapted.uris[local]
    return path


def _copy(source: str, target: str) -> None:
    """Copies a file or a folder, also from and to object stores."""
    import tensorflow as tf

    gfile = tf.io.gfile
    if not gfile.isdir(source):
        gfile.makedirs(os.path.dirname(target))
        gfile.copy(source, target, overwrite=True)
        return
    gfile.makedirs(target)
    for name in gfile.listdir(source):
        if name := name.rstrip("/"):  # object stores list the folder itself, too
            _copy(os.path.join(source, name), os.path.join(target, name))
