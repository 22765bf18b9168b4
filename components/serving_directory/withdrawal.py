"""Going back to an older version, and restoring what was withdrawn.

TensorFlow Serving serves the newest version. So the newer ones are renamed to what it
ignores, the live one last: until that one rename everything is as it was, and after it
the older version is live. A process that is killed in between has changed nothing that
a server sees, and the command can be repeated.
"""

from __future__ import annotations

import dataclasses
import os

from components import storage
from components.serving_directory import audit
from components.serving_directory.completeness import missing_file
from components.serving_directory.folders import move_folder, remove_stored
from components.serving_directory.labels import live_version
from components.serving_directory.layout import WITHDRAWN_PREFIX
from components.serving_directory.lock import locked
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
from trainer.errors import UserError
from trainer.model_identity import model_id


@dataclasses.dataclass(frozen=True)
class Change:
    """What a rollback or a restoration did.

    Attributes:
      live_before: Version that was live; None if there was none.
      live: Version that is live now.
      withdrawn: Versions that were withdrawn, oldest first.
      restored: Version that was restored; None if there is none.
    """

    live_before: str | None
    live: str
    withdrawn: tuple[str, ...] = ()
    restored: str | None = None


def roll_back(serving_dir: str, to: str | None = None, *, reason: str = "") -> Change:
    """Makes another version live, and withdraws all that are newer.

    Args:
      serving_dir: The serving directory.
      to: The version; one that was withdrawn is restored. None for the complete one
        before the live one.
      reason: Why, for the audit.

    Raises:
      UserError: There is no such version, it is not complete, there is none to go back
        to, or the directory is being changed.
    """
    _check_exists(serving_dir)
    with locked(serving_dir, "a rollback"):
        live = live_version(serving_dir)
        target = _previous(serving_dir, live) if to is None else to
        served = versions(serving_dir)
        is_withdrawn = target not in served
        _check(serving_dir, target, is_withdrawn)
        newer = [name for name in served if int(name) > int(target)]
        change = Change(live, target, tuple(newer), target if is_withdrawn else None)
        if not newer and not is_withdrawn:
            return change
        _check_store(serving_dir, newer)
        for name in newer:
            _remember(serving_dir, name)
        _record(serving_dir, "rollback", change, reason)
        if is_withdrawn:
            move_folder(_withdrawn(serving_dir, target), _served(serving_dir, target))
        for name in newer:
            _withdraw(serving_dir, name)
    return change


def restore(serving_dir: str, version: str, *, reason: str = "") -> Change:
    """Puts a version back that was withdrawn; it is live if no newer one is there.

    Args:
      serving_dir: The serving directory.
      version: The version.
      reason: Why, for the audit.

    Raises:
      UserError: It was not withdrawn, is not complete, or the directory is being
        changed.
    """
    _check_exists(serving_dir)
    with locked(serving_dir, "a restoration"):
        live = live_version(serving_dir)
        if version in versions(serving_dir):
            raise UserError(
                f"Version {version} is in {serving_dir}: it is not withdrawn",
                f"`two-tower rollback --to {version}` makes it live.",
            )
        _check(serving_dir, version, True)
        newest = max(int(version), int(live or 0))
        after = version if newest == int(version) else live
        change = Change(live, after or version, restored=version)
        _record(serving_dir, "restore", change, reason)
        move_folder(_withdrawn(serving_dir, version), _served(serving_dir, version))
    return change


def removable_versions(serving_dir: str, keep: int) -> list[str]:
    """Returns the names of the folders that retention may delete, oldest first.

    Kept are the newest versions, as many of those that were withdrawn, and the version
    that the last rollback chose.

    Args:
      serving_dir: The serving directory.
      keep: How many versions to keep of either kind.

    Raises:
      UserError: The directory cannot be read.
    """
    chosen = audit.chosen_version(serving_dir)
    old = (name for name in complete_versions(serving_dir)[:-keep] if name != chosen)
    withdrawn = withdrawn_versions(serving_dir)[:-keep]
    return [*old, *(f"{WITHDRAWN_PREFIX}{name}" for name in withdrawn)]


def _previous(serving_dir: str, live: str | None) -> str:
    """The complete version before the live one."""
    for name in reversed(versions(serving_dir)):
        if live is None or int(name) > int(live):
            file = missing_file(_served(serving_dir, name))
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


def _check_exists(serving_dir: str) -> None:
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
