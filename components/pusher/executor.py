"""Executor of RetrievalPusher."""

from __future__ import annotations

import datetime
import json
import logging
import os
from dataclasses import asdict
from typing import Any, Final

import tensorflow as tf
from tfx import types
from tfx.components.pusher import executor as stock
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as specs
from tfx.utils import io_utils, proto_utils

from components import storage
from components.data_gate.inputs import serialized_statistics
from components.pusher import MODEL_ID
from components.pusher.push_version import push_version
from components.serving_directory import (
    LEDGER,
    PUSH_FILE,
    REFERENCE_FILE,
    STATISTICS_FILE,
    Push,
    complete_versions,
    drift_reference,
    latest_version,
    read_ledger,
    read_push,
    write_ledger,
)
from trainer.model_identity import model_id

# Execution property: not empty to push a model that was pushed before, and its value
# is another one each time.
PUSH_AGAIN: Final = "push_again"
_LOG: Final = logging.getLogger(__name__)


class Executor(stock.Executor):
    """TFX's executor, but no push is lost, repeated or visible before it is complete.

    TFX's executor names a version by the current second. If that folder exists, it
    marks the model as pushed without writing it. It also copies into the final folder,
    which a server may read before the copy is complete.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes the model if it is blessed, and was not pushed before.

        A model that was pushed and is gone was taken away on purpose. One that is still
        there was pushed by a run that was killed before TFX recorded it, or by a run
        that came to the same model.

        Args:
          input_dict: `model_blessing`; `infra_blessing`, which holds the model; and
            `statistics` of what it was trained on.
          output_dict: `pushed_model`: a copy of the model, with TFX's properties
            `pushed`, `pushed_destination` and `pushed_version`, and `model_id`.
          exec_properties: `push_destination`: JSON of a `PushDestination`;
            `push_again`.

        Raises:
          UserError: The serving directory cannot be read or written.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        pushed = artifact_utils.get_single_instance(output_dict[specs.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        model = self.GetModelPath(input_dict)
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(
            exec_properties[specs.PUSH_DESTINATION_KEY], destination
        )
        serving_dir = destination.filesystem.base_directory
        identity = model_id(model)
        pushed.set_string_custom_property(MODEL_ID, identity)
        # The artifact first: nothing may fail once the version is visible.
        io_utils.copy_dir(model, pushed.uri)
        version = _pushed_before(serving_dir, identity)
        # Whatever the outcome: a record that cannot be read cannot be written either.
        record = read_ledger(serving_dir, identity)
        if exec_properties.get(PUSH_AGAIN):
            # What is live already need not become so.
            version = version if version == latest_version(serving_dir) else None
        elif version is None and record is not None:
            _LOG.warning(
                "Not pushed: this model was pushed to %s before and then removed. "
                "`two-tower run --push-again` pushes it again.",
                serving_dir,
            )
            self._MarkNotPushed(pushed)
            return
        if version is None:
            run_id = (self._context and self._context.pipeline_run_id) or ""
            push: Push | None = _describe(
                pushed.uri, input_dict, serving_dir, identity, run_id
            )
            version = os.path.basename(push_version(pushed.uri, serving_dir))
        else:
            _LOG.info("The model is served already, as version %s.", version)
            push = read_push(os.path.join(serving_dir, version))
        if push is not None:
            _record(serving_dir, version, push)
        self._MarkPushed(
            pushed,
            pushed_destination=os.path.join(serving_dir, version),
            pushed_version=version,
        )


def _record(serving_dir: str, version: str, push: Push) -> None:
    """Records a push; the version is live, so that a failure must not look like one."""
    try:
        write_ledger(serving_dir, version, push)
    except (OSError, tf.errors.OpError) as error:
        _LOG.warning(
            "Version %s is served, but %s cannot be written: %s. If the version is "
            "removed, a run that trains the same model will push it again.",
            version,
            os.path.join(serving_dir, LEDGER),
            error,
        )


def _pushed_before(serving_dir: str, identity: str) -> str | None:
    """Returns the newest version that holds a model; None if there is none.

    What a version says about itself spares the reading of other models, but decides
    nothing: its files may have been replaced.
    """
    for version in reversed(complete_versions(serving_dir)):
        folder = os.path.join(serving_dir, version)
        push = read_push(folder)
        if push is None or push.model_id == identity:
            if model_id(folder) == identity:
                return version
    return None


def _describe(
    version_dir: str,
    input_dict: dict[str, list[types.Artifact]],
    serving_dir: str,
    identity: str,
    run_id: str,
) -> Push:
    """Stores with the model what later runs need to know about its version."""
    [statistics] = input_dict["statistics"]
    own = serialized_statistics(statistics)
    reference = drift_reference(serving_dir, own)
    live = latest_version(serving_dir)
    push = Push(
        model_id=identity,
        replaced=live,
        replaced_model_id=model_id(os.path.join(serving_dir, live)) if live else None,
        compared_with=reference.version if reference else None,
        pushed_at=datetime.datetime.now(datetime.timezone.utc).isoformat(),
        run_id=run_id,
    )
    storage.write(os.path.join(version_dir, STATISTICS_FILE), own)
    if reference and reference.statistics is not None:
        path = os.path.join(version_dir, REFERENCE_FILE)
        storage.write(path, reference.statistics)
    content = json.dumps(asdict(push), indent=2).encode()
    storage.write(os.path.join(version_dir, PUSH_FILE), content)
    return push
