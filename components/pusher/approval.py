"""Pushes a model that Pusher left to a person's approval."""

from __future__ import annotations

import dataclasses
import os

from components import storage
from components.pusher.push_model import (
    changed_live_model,
    complete_push,
    describe,
    find_model,
    kept_rollout,
    push_described,
)
from components.serving_directory import (
    STATISTICS_FILE,
    Push,
    live_version,
    missing_file,
    read_push,
)
from components.serving_directory.lock import PUSH_WAIT_SECONDS, locked
from components.serving_directory.withdrawal import finish
from trainer.errors import UserError
from trainer.model_identity import model_id


@dataclasses.dataclass(frozen=True)
class Approval:
    """What an approval did.

    Attributes:
      version: Version under which the model is served.
      is_new: Whether it was pushed now; False if it was served already, as after an
        approval that was killed before it was recorded.
      live: The version that is live.
    """

    version: str
    is_new: bool
    live: str | None


def approve(
    folder: str, serving_dir: str, *, reason: str = "", force: bool = False
) -> Approval:
    """Pushes a model that waits for approval, as it was evaluated.

    It can be repeated: a model that is served already is not pushed twice.

    Args:
      folder: What Pusher left: the model, and what it would have pushed.
      serving_dir: The versions.
      reason: Why, for the audit.
      force: Push it although another model is live than the one that it was compared
        with, or although it was pushed before and taken away.

    Raises:
      UserError: It was not left for approval, is not complete, changed since, or
        `force` is needed.
    """
    push, rollout = _waiting(folder), kept_rollout(folder)
    with locked(serving_dir, "an approval", PUSH_WAIT_SECONDS):
        finish(serving_dir)
        known = find_model(serving_dir, push.model_id)
        if known.version is not None:
            served = read_push(os.path.join(serving_dir, known.version)) or push
            done = (serving_dir, known.version, served, rollout, known.recorded)
            complete_push(*done, action="approve", reason=reason)
            return Approval(known.version, False, live_version(serving_dir))
        if known.was_taken_away:
            objection = (
                f"this model was pushed to {serving_dir} before, as version "
                f"{known.recorded or 'unknown'}, and taken away"
            )
            remedy = "Restore it with `two-tower rollback --restore`"
        else:
            then = (push.replaced or "", push.replaced_model_id or "")
            objection = changed_live_model(serving_dir, *then)
            remedy = "Run the pipeline again to compare it with that"
        if objection and not force:
            raise UserError(
                f"Not approved: {objection}",
                f"{remedy}, or push it all the same with --force.",
            )
        if objection:
            reason = f"{reason + ' ' if reason else ''}(forced: {objection})"
        statistics = storage.read(os.path.join(folder, STATISTICS_FILE)) or b""
        identity, run_id = push.model_id, push.run_id
        push = describe(folder, statistics, serving_dir, identity, run_id)
        version = push_described(
            folder, serving_dir, push, rollout, action="approve", reason=reason
        )
        return Approval(version, True, live_version(serving_dir))


def _waiting(folder: str) -> Push:
    """Returns what Pusher recorded of a model, which is still that model."""
    push = read_push(folder)
    if push is None:
        raise UserError(
            f"{folder} is no model that waits for approval: it has no record of Pusher",
            "Name the folder of the artifact `pushed_model` of a run with "
            "eval.approval=manual.",
        )
    file = missing_file(folder)
    if file is None and not storage.size(os.path.join(folder, STATISTICS_FILE)):
        file = STATISTICS_FILE
    if file is not None:
        raise UserError(
            f"The model {folder} is not complete: it has no {file}",
            "Run the pipeline again with --no-cache.",
        )
    found = model_id(folder)
    if found != push.model_id:
        raise UserError(
            f"The model {folder} is not the one that was evaluated: its identity is "
            f"{found} and was {push.model_id}",
            "Run the pipeline again with --no-cache.",
        )
    return push
