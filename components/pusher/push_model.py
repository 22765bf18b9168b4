"""Pushes a model once: what the step Pusher does, and `two-tower approve` later."""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import os
from typing import Final

from components import storage
from components.parameters import from_parameter, to_parameter
from components.pusher.config import RolloutConfig
from components.pusher.push_version import push_version
from components.serving_directory import (
    LEDGER,
    PUSH_FILE,
    REFERENCE_FILE,
    STATISTICS_FILE,
    Push,
    audit,
    complete_versions,
    drift_reference,
    live_version,
    read_ledger,
    read_push,
    write_ledger,
)
from components.serving_directory.label_file import Server
from components.serving_directory.labels import CANARY
from components.serving_directory.labels import read as read_labels
from components.serving_directory.promotion import label_live, label_push
from trainer.errors import UserError
from trainer.model_identity import model_id

# Within a model that waits for approval: a `RolloutConfig`.
_ROLLOUT_FILE: Final = "assets.extra/rollout.json"
_LOG: Final = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Known:
    """What a serving directory knows of a model.

    Attributes:
      version: The newest version that holds it; None if there is none.
      was_taken_away: Whether it was pushed before, and no version holds it now.
      recorded: Version under which it was pushed last, where that is recorded.
    """

    version: str | None
    was_taken_away: bool
    recorded: str | None


def find_model(serving_dir: str, identity: str) -> Known:
    """Finds out whether a model was pushed before.

    What a version says about itself spares the reading of other models, but decides
    nothing: its files may have been replaced.

    Args:
      serving_dir: The versions; the caller holds their lock.
      identity: Of the model.

    Raises:
      UserError: The directory cannot be read.
    """
    # Whatever the outcome: a record that cannot be read cannot be written either.
    record = read_ledger(serving_dir, identity)
    found = str((record or {}).get("version"))
    recorded = found if found.isdecimal() else None
    for version in reversed(complete_versions(serving_dir)):
        folder = os.path.join(serving_dir, version)
        push = read_push(folder)
        if push is None or push.model_id == identity:
            if model_id(folder) == identity:
                return Known(version, False, recorded)
    return Known(None, record is not None, recorded)


def changed_live_model(serving_dir: str, version: str, identity: str) -> str:
    """Says which other model is live than a candidate was compared with.

    Args:
      serving_dir: The versions; the caller holds their lock.
      version: The version that was live then; empty for none.
      identity: Its identity; empty for none.

    Returns:
      Both, in words; empty if the same model is live.
    """
    live = live_version(serving_dir)
    if (model_id(os.path.join(serving_dir, live)) if live else "") == identity:
        return ""
    then = f"version {version}" if version else "nothing"
    now = f"version {live}" if live else "nothing"
    return f"{then} was live when the model was evaluated, and {now} is live now"


def describe(
    folder: str, statistics: bytes, serving_dir: str, identity: str, run_id: str
) -> Push:
    """Stores with a model what later runs need to know about its version.

    Args:
      folder: The model.
      statistics: Of the train split that it learned from, serialized.
      serving_dir: The versions; the caller holds their lock.
      identity: Of the model.
      run_id: The run that made it; empty if not known.

    Returns:
      What was stored: it says what the model is going to replace.
    """
    reference = drift_reference(serving_dir, statistics)
    live = live_version(serving_dir)
    push = Push(
        model_id=identity,
        replaced=live,
        replaced_model_id=model_id(os.path.join(serving_dir, live)) if live else None,
        compared_with=reference.version if reference else None,
        pushed_at=datetime.datetime.now(datetime.timezone.utc).isoformat(),
        run_id=run_id,
    )
    storage.write(os.path.join(folder, STATISTICS_FILE), statistics)
    if reference and reference.statistics is not None:
        storage.write(os.path.join(folder, REFERENCE_FILE), reference.statistics)
    content = json.dumps(dataclasses.asdict(push), indent=2).encode()
    storage.write(os.path.join(folder, PUSH_FILE), content)
    return push


def push_described(
    folder: str,
    serving_dir: str,
    push: Push,
    rollout: RolloutConfig,
    *,
    action: audit.Action = "push",
    reason: str = "",
) -> str:
    """Makes a described model a new version, labels it and records it.

    Args:
      folder: The model, with what `describe` stored.
      serving_dir: The versions; the caller holds their lock.
      push: From `describe`.
      rollout: How it goes live.
      action: For the audit.
      reason: For the audit.

    Returns:
      The new version.

    Raises:
      UserError: It, or its label, cannot be written.
    """
    if rollout.rollout == "canary":
        label_live(serving_dir, push.replaced, _server(rollout))
    version = os.path.basename(push_version(folder, serving_dir))
    _label(serving_dir, version, push, rollout)
    _record(serving_dir, version, push, action, reason)
    return version


def complete_push(
    serving_dir: str,
    version: str,
    push: Push,
    rollout: RolloutConfig,
    recorded: str | None,
    *,
    action: audit.Action = "push",
    reason: str = "",
) -> None:
    """Labels and records a version, as far as the push that was killed did not.

    Args:
      serving_dir: The versions; the caller holds their lock.
      version: The version.
      push: What it says about itself.
      rollout: How it goes live.
      recorded: Version under which the model was pushed last, from `find_model`.
      action: For the audit.
      reason: For the audit.

    Raises:
      UserError: Its label cannot be written.
    """
    labels = read_labels(serving_dir)
    # The record comes last, and the labels may have been moved since.
    is_unlabelled = not labels.exist or not labels.of(version)
    is_unrecorded = not recorded or int(recorded) < int(version)
    if is_unrecorded and is_unlabelled and labels.stable in (push.replaced, version):
        _label(serving_dir, version, push, rollout)
    _record(serving_dir, version, push, action, reason)


def _label(serving_dir: str, version: str, push: Push, rollout: RolloutConfig) -> None:
    label = label_push(
        serving_dir,
        version,
        push.replaced,
        as_canary=rollout.rollout == "canary",
        server=_server(rollout),
    )
    if label == CANARY:
        _LOG.warning(
            "Version %s is the canary, and version %s stays live. `two-tower promote` "
            "changes that.",
            *(version, push.replaced),
        )


def _server(rollout: RolloutConfig) -> Server:
    return Server(rollout.model_name, rollout.base_path or "")


def keep_rollout(folder: str, rollout: RolloutConfig) -> None:
    """Stores with a model that waits for approval how it is to go live."""
    content = to_parameter(RolloutConfig, rollout).encode()
    storage.write(os.path.join(folder, _ROLLOUT_FILE), content)


def kept_rollout(folder: str) -> RolloutConfig:
    """Returns what `keep_rollout` stored; the default where there is nothing.

    Raises:
      UserError: It cannot be read, or is damaged.
    """
    path = os.path.join(folder, _ROLLOUT_FILE)
    content = storage.read(path)
    try:
        return from_parameter(RolloutConfig, (content or b"{}").decode())
    except ValueError as error:
        raise UserError(
            f"{path} is damaged", "Run the pipeline again with --no-cache."
        ) from error


def _record(
    serving_dir: str, version: str, push: Push, action: audit.Action, reason: str
) -> None:
    """Records a push, unless it is; the version is served, so it never fails."""
    try:
        write_ledger(serving_dir, version, push)
    except Exception as error:
        _LOG.warning(
            "Version %s is served, but %s cannot be written: %s. If the version is "
            "removed, a run that trains the same model will push it again.",
            version,
            os.path.join(serving_dir, LEDGER),
            error,
        )
    labels = read_labels(serving_dir)
    label = (labels.of(version) or ("",))[0]
    moved = ([version], push.replaced, labels.stable, reason, push.run_id)
    audit.record_once(serving_dir, audit.Move(action, *moved, push.model_id, label))
