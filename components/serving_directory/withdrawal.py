"""Going back to an older version, and restoring what was withdrawn.

TensorFlow Serving serves the newest version. So the newer ones are renamed to what it
ignores, the live one last: until that one rename everything is as it was, and after it
the older version is live. A process that is killed in between has changed nothing that
a server sees, and the command can be repeated.

Where there are labels, `stable` moves first, and with it the model server's
configuration; the file of the labels says which versions are still to be withdrawn, and
`finish` does that after a kill.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from components import storage
from components.serving_directory import audit
from components.serving_directory.completeness import missing_file
from components.serving_directory.folders import move_folder, remove_stored
from components.serving_directory.label_file import LabelFile, read_file
from components.serving_directory.labels import live_version, read
from components.serving_directory.layout import WITHDRAWN_PREFIX
from components.serving_directory.lock import locked
from components.serving_directory.models_config import refresh, write_labels
from components.serving_directory.pushes import (
    Push,
    read_ledger,
    read_push,
    write_ledger,
)
from components.serving_directory.versions import (
    complete_versions,
    versions,
    withdrawn_versions,
)
from trainer.atomic_files import PART_PREFIX
from trainer.errors import UserError
from trainer.model_identity import model_id

_LOG: Final = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Change:
    """What a rollback or a restoration did.

    Attributes:
      live_before: Version that was live; None if there was none.
      live: Version that is live now.
      withdrawn: Versions that were withdrawn, oldest first.
      restored: Version that was restored; None if there is none.
      fault: Why the labels could not follow, with the remedy; else empty.
    """

    live_before: str | None
    live: str
    withdrawn: tuple[str, ...] = ()
    restored: str | None = None
    fault: str = ""


def roll_back(
    serving_dir: str,
    to: str | None = None,
    *,
    reason: str = "",
    wait_seconds: float = 0,
) -> Change:
    """Makes another version live, and withdraws all that are newer.

    A pin moves with the label: it keeps pushes from moving it, not people.

    Args:
      serving_dir: The serving directory.
      to: The version; one that was withdrawn is restored. None for the complete one
        before the live one, or to end a rollback that was killed.
      reason: Why, for the audit.
      wait_seconds: How long to leave the withdrawn versions where they are once the
        labels have moved, for servers that poll their configuration.

    Raises:
      UserError: There is no such version, it is not complete, there is none to go back
        to, or the directory is being changed.
    """
    check_exists(serving_dir)
    with locked(serving_dir, "a rollback"):
        ended = None
        try:
            ended = finish(serving_dir)
        except UserError as error:  # a full disk keeps no bad model in service
            _LOG.warning("%s", error)
        if ended and to in (None, ended.live):
            return ended
        live = live_version(serving_dir)
        target = _previous(serving_dir, live) if to is None else to
        served = versions(serving_dir)
        is_withdrawn = target not in served
        _check(serving_dir, target, is_withdrawn)
        newer = [name for name in served if int(name) > int(target)]
        change = Change(live, target, tuple(newer), target if is_withdrawn else None)
        if not newer and not is_withdrawn and target == live:
            return change
        _check_store(serving_dir, newer)
        for name in newer:
            _remember(serving_dir, name)
        _record(serving_dir, "rollback", change, reason)
        if is_withdrawn:
            move_folder(_withdrawn(serving_dir, target), _served(serving_dir, target))
        _label_rollback(serving_dir, target, newer)
        time.sleep(wait_seconds if newer else 0)
        for name in newer:
            _withdraw(serving_dir, name)
        fault = _label_rollback(serving_dir, target, ())
    return dataclasses.replace(change, fault=fault)


def finish(serving_dir: str) -> Change | None:
    """Completes what a killed process began: called before whatever changes labels.

    Args:
      serving_dir: The versions; the caller holds their lock.

    Returns:
      The rollback that is complete now; None if there was nothing to withdraw.

    Raises:
      UserError: The directory cannot be read or written.
    """
    stored = read_file(serving_dir)
    if stored is None:
        return None
    if storage.is_local(serving_dir):
        for part in Path(serving_dir).glob(f"{PART_PREFIX}*"):
            part.unlink(missing_ok=True)  # whoever wrote it had the lock
    served = versions(serving_dir)
    kept = (stored.stable, stored.canary)
    left = [n for n in stored.withdrawing if n in served and n not in kept]
    for name in left:
        _withdraw(serving_dir, name)
    if not stored.withdrawing:
        refresh(serving_dir)
        return None
    done = dataclasses.replace(stored, withdrawing=())
    write_labels(serving_dir, done, done.stable, done.canary)
    live = live_version(serving_dir)
    return Change(live, live, tuple(left)) if left and live else None


def _label_rollback(serving_dir: str, target: str, withdrawing: Sequence[str]) -> str:
    """Moves `stable`, if there are labels, and says what is still to be withdrawn.

    A disk that is full must keep no bad model in service: where the versions have gone
    that had the label, the target is the newest, and hence live without it, too.

    Returns:
      Why the labels could not be written, with the remedy; else empty.
    """
    stored = read_file(serving_dir)
    if stored is None:
        return ""
    canary = stored.canary
    if canary is not None and int(canary) >= int(target):
        canary = None
    moved = dataclasses.replace(stored, withdrawing=tuple(withdrawing))
    try:
        write_labels(serving_dir, moved, target, canary)
    except UserError as error:
        fault = (
            f"Version {target} is live, but the labels do not say so: {error} "
            f"`two-tower promote {target}` moves them."
        )
        _LOG.warning("%s", fault)
        return fault
    return ""


def restore(serving_dir: str, version: str, *, reason: str = "") -> Change:
    """Puts a version back that was withdrawn; it is live if no newer one is.

    Where there are labels, a version that was never live comes back as the canary, and
    so does every version while `stable` is pinned.

    Args:
      serving_dir: The serving directory.
      version: The version.
      reason: Why, for the audit.

    Raises:
      UserError: It was not withdrawn, is not complete, or the directory is being
        changed.
    """
    check_exists(serving_dir)
    with locked(serving_dir, "a restoration"):
        finish(serving_dir)
        before = live_version(serving_dir)
        if version in versions(serving_dir):
            raise UserError(
                f"Version {version} is in {serving_dir}: it is not withdrawn",
                f"`two-tower rollback --to {version}` makes it live.",
            )
        _check(serving_dir, version, True)
        labels = read(serving_dir)
        is_newer = int(version) > int(before or 0)
        is_tried = labels.exist and (
            labels.pinned or not audit.was_live(serving_dir, version)
        )
        after = version if before is None or (is_newer and not is_tried) else before
        change = Change(before, after, restored=version)
        _record(serving_dir, "restore", change, reason)
        move_folder(_withdrawn(serving_dir, version), _served(serving_dir, version))
        if labels.exist:
            canary = labels.canary if labels.canary != after else None
            if after != version and int(version) > int(canary or before or 0):
                canary = version
            stored = read_file(serving_dir) or LabelFile()
            write_labels(serving_dir, stored, after, canary)
    return change


def removable_versions(serving_dir: str, keep: int) -> list[str]:
    """Returns the names of the folders that retention may delete, oldest first.

    Kept are the newest versions, as many of those that were withdrawn, those with a
    label, and the version that a person chose last. Where the labels are damaged, any
    version may have had one, so none is removed.

    Args:
      serving_dir: The serving directory.
      keep: How many versions to keep of either kind.

    Raises:
      UserError: The directory cannot be read.
    """
    stored = read_file(serving_dir)
    if stored and stored.damage:
        return []
    labels = read(serving_dir)
    kept = (audit.chosen_version(serving_dir), labels.stable, labels.canary)
    old = (name for name in complete_versions(serving_dir)[:-keep] if name not in kept)
    withdrawn = withdrawn_versions(serving_dir)[:-keep]
    return [*old, *(f"{WITHDRAWN_PREFIX}{name}" for name in withdrawn)]


def _previous(serving_dir: str, live: str | None) -> str:
    """The complete version before the live one."""
    for name in reversed(versions(serving_dir)):
        if live is None or int(name) > int(live):
            file = missing_file(_served(serving_dir, name))
            if file is None:  # not the one with the label
                continue
            remedy = f"`two-tower rollback --to {live}` withdraws it" if live else ""
            raise UserError(
                f"Version {name} of {serving_dir} has no complete {file}: it is being "
                "copied, or damaged",
                f"Wait until it is complete, or remove it. {remedy}".strip(),
            )
    older = [n for n in complete_versions(serving_dir) if int(n) < int(live or 0)]
    if older:
        return older[-1]
    withdrawn = ", ".join(withdrawn_versions(serving_dir))
    raise UserError(
        f"There is nothing to go back to in {serving_dir}: "
        f"{f'version {live} is the only one' if live else 'nothing is live'}",
        f"`two-tower rollback --restore VERSION` restores one of those that were "
        f"withdrawn: {withdrawn}."
        if withdrawn
        else "A run pushes a new version.",
    )


def check_exists(serving_dir: str) -> None:
    """Raises `UserError` where there is no serving directory."""
    if not storage.names(serving_dir):
        raise UserError(
            f"There are no versions in {serving_dir}",
            "Name another folder with --workspace or --serving-dir.",
        )


def _check(serving_dir: str, version: str, is_withdrawn: bool) -> None:
    """Raises `UserError` where there is no such version, or it is not complete."""
    if is_withdrawn and version not in withdrawn_versions(serving_dir):
        known = ", ".join(complete_versions(serving_dir)) or "none"
        withdrawn = ", ".join(withdrawn_versions(serving_dir)) or "none"
        raise UserError(
            f"There is no version {version} in {serving_dir}",
            f"Served: {known}; withdrawn: {withdrawn}.",
        )
    place = _withdrawn if is_withdrawn else _served
    folder = place(serving_dir, version)
    if file := missing_file(folder):
        raise UserError(
            f"Version {version} cannot be served: {folder} has no complete {file}",
            "Choose another version.",
        )


def _check_store(serving_dir: str, newer: list[str]) -> None:
    """Raises `UserError` where a push to an object store goes on."""
    if storage.is_local(serving_dir):
        return
    for name in newer:
        file = missing_file(_served(serving_dir, name))
        if file and not _is_interrupted(serving_dir, name):
            raise UserError(
                f"Version {name} of {serving_dir} is not complete: it has no {file}",
                "Wait for the push that goes on, or remove the version.",
            )


def _is_interrupted(serving_dir: str, name: str) -> bool:
    """Whether a version of an object store was withdrawn, but is not all removed."""
    copy = _withdrawn(serving_dir, name)
    return storage.is_folder(copy) and missing_file(copy) is None


def _withdraw(serving_dir: str, name: str) -> None:
    source, target = _served(serving_dir, name), _withdrawn(serving_dir, name)
    if not storage.is_local(serving_dir) and missing_file(source):
        remove_stored(source)
    else:
        move_folder(source, target)


def _remember(serving_dir: str, name: str) -> None:
    """Records whose model a version was, so that no unchanged run pushes it again."""
    folder = _served(serving_dir, name)
    push = read_push(folder) or Push(model_id(folder), None, None, None, "", "")
    if read_ledger(serving_dir, push.model_id) is None:
        try:
            write_ledger(serving_dir, name, push)
        except OSError as error:
            raise UserError(
                f"It cannot be recorded that version {name} was withdrawn, so that the "
                f"next run would push its model again: {error.strerror}",
                f"Make {serving_dir} a folder that can be written, with space.",
            ) from error


def _record(
    serving_dir: str, action: audit.Action, change: Change, reason: str
) -> None:
    moved = change.withdrawn or (change.restored,)
    moved_names = [name for name in moved if name]
    audit.record(
        serving_dir,
        audit.Move(action, moved_names, change.live_before, change.live, reason),
    )


def _served(serving_dir: str, name: str) -> str:
    return os.path.join(serving_dir, name)


def _withdrawn(serving_dir: str, name: str) -> str:
    return os.path.join(serving_dir, f"{WITHDRAWN_PREFIX}{name}")
