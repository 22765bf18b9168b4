"""Executor of RetrievalPusher."""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from tfx import types
from tfx.components.pusher import executor as stock
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as specs
from tfx.utils import io_utils, proto_utils

from components.data_gate.inputs import serialized_statistics
from components.live_model import MODEL_ID as LIVE_MODEL_ID
from components.live_model import VERSION as LIVE_VERSION
from components.parameters import from_parameter
from components.pusher import AWAITING_APPROVAL, LABEL, MODEL_ID
from components.pusher.config import RolloutConfig
from components.pusher.push_model import (
    changed_live_model,
    complete_push,
    describe,
    find_model,
    keep_rollout,
    push_described,
)
from components.serving_directory import live_version, read_push
from components.serving_directory.labels import read as read_labels
from components.serving_directory.lock import PUSH_WAIT_SECONDS, locked
from components.serving_directory.withdrawal import finish
from trainer.errors import UserError
from trainer.model_identity import model_id

# Execution property: not empty to push a model that was pushed before, and its value
# is another one each time.
PUSH_AGAIN: Final = "push_again"
# Execution property: `ApprovalConfig.approval`; absent if automatic.
APPROVAL: Final = "approval"
# Execution property: JSON of a `RolloutConfig`; absent if all of it is default.
ROLLOUT: Final = "rollout"
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

        The serving directory may have changed since the model was compared with what
        was live, by a rollback, an approval or another run. Then nothing is pushed and
        the step fails, so that the next run compares it with what is live by then.

        With manual approval it is left for `components.pusher.approval` instead.

        A model that was pushed and is gone was taken away on purpose. One that is still
        there was pushed by a run that was killed before TFX recorded it, or by a run
        that came to the same model.

        Args:
          input_dict: `model_blessing`; `infra_blessing`, which holds the model;
            `statistics` of what it was trained on; and `live_model`, which it was
            compared with.
          output_dict: `pushed_model`: a copy of the model, with TFX's properties
            `pushed`, `pushed_destination` and `pushed_version`, and `model_id`.
          exec_properties: `push_destination`: JSON of a `PushDestination`;
            `push_again`; `approval`; `rollout`.

        Raises:
          UserError: The serving directory cannot be read or written, or another model
            is live than the one that was compared.
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
        # The artifact first: nothing may fail once the version is visible.
        io_utils.copy_dir(model, pushed.uri)
        pushed.set_string_custom_property(MODEL_ID, model_id(model))
        [statistics] = input_dict["statistics"]
        [live] = input_dict["live_model"]
        rollout = from_parameter(RolloutConfig, exec_properties.get(ROLLOUT) or "{}")
        with locked(serving_dir, "a push", PUSH_WAIT_SECONDS):
            finish(serving_dir)
            version = self._push(
                pushed,
                live,
                serving_dir,
                serialized_statistics(statistics),
                rollout,
                is_wanted_again=bool(exec_properties.get(PUSH_AGAIN)),
                is_manual=exec_properties.get(APPROVAL) == "manual",
            )
        if version is None:
            self._MarkNotPushed(pushed)
        else:
            labels = read_labels(serving_dir).of(version)
            pushed.set_string_custom_property(LABEL, labels[0] if labels else "")
            self._MarkPushed(
                pushed,
                pushed_destination=os.path.join(serving_dir, version),
                pushed_version=version,
            )

    def _push(
        self,
        pushed: types.Artifact,
        live: types.Artifact,
        serving_dir: str,
        statistics: bytes,
        rollout: RolloutConfig,
        *,
        is_wanted_again: bool,
        is_manual: bool,
    ) -> str | None:
        """Returns the version under which the model is served; None if it is not."""
        identity = pushed.get_string_custom_property(MODEL_ID)
        known = find_model(serving_dir, identity)
        version = known.version
        if is_wanted_again:
            # What is live already need not become so.
            version = version if version == live_version(serving_dir) else None
        elif known.was_taken_away:
            _LOG.warning(
                "Not pushed: this model was pushed to %s before and then removed. "
                "`two-tower run --push-again` pushes it again.",
                serving_dir,
            )
            return None
        if version is not None:
            _LOG.info("The model is served already, as version %s.", version)
            push = read_push(os.path.join(serving_dir, version))
            if push is not None:
                complete_push(serving_dir, version, push, rollout, known.recorded)
            return version
        _check_live_model(serving_dir, live)
        run_id = (self._context and self._context.pipeline_run_id) or ""
        push = describe(pushed.uri, statistics, serving_dir, identity, run_id)
        if is_manual:
            keep_rollout(pushed.uri, rollout)
            pushed.set_int_custom_property(AWAITING_APPROVAL, 1)
            _LOG.warning("Not pushed: the model waits for `two-tower approve`.")
            return None
        return push_described(pushed.uri, serving_dir, push, rollout)


def _check_live_model(serving_dir: str, compared: types.Artifact) -> None:
    """Raises `UserError` where another model is live than the candidate's baseline."""
    changed = changed_live_model(
        serving_dir,
        compared.get_string_custom_property(LIVE_VERSION),
        compared.get_string_custom_property(LIVE_MODEL_ID),
    )
    if changed:
        raise UserError(
            f"Not pushed: {changed}",
            "Run it again: the model is then compared with what is live.",
        )
