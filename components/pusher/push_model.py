"""Pushes a model once: what the step Pusher does, and `two-tower approve` later."""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import os

from components import storage
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
from trainer.model_identity import model_id

_LOG = logging.getLogger(__name__)


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
    recorded = str((record or {}).get("version") or "") or None
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
    *,
    action: audit.Action = "push",
    reason: str = "",
) -> str:
    """Makes a described model a new version, and records it.

    Args:
      folder: The model, with what `describe` stored.
      serving_dir: The versions; the caller holds their lock.
      push: From `describe`.
      action: For the audit.
      reason: For the audit.

    Returns:
      The new version.

    Raises:
      UserError: It cannot be written.
    """
    version = os.path.basename(push_version(folder, serving_dir))
    record_push(serving_dir, version, push, action=action, reason=reason)
    return version


def record_push(
    serving_dir: str,
    version: str,
    push: Push,
    *,
    action: audit.Action = "push",
    reason: str = "",
) -> None:
    """Records a push, unless it is; the version is served, so it never fails.

    Args:
      serving_dir: The versions; the caller holds their lock.
      version: The version.
      push: What it says about itself.
      action: For the audit.
      reason: For the audit.
    """
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
    live = live_version(serving_dir)
    moved = ([version], push.replaced, live, reason, push.run_id, push.model_id)
    audit.record_once(serving_dir, audit.Move(action, *moved))
