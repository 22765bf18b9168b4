"""Moves the labels `stable` and `canary`: after a push, and by hand.

The file of the labels is replaced first, since it decides what is live, and then the
model server's configuration. A process that is killed in between has moved the label;
whatever changes the directory next writes the configuration anew: `withdrawal.finish`.
"""

from __future__ import annotations

import dataclasses
import os

from components import storage
from components.serving_directory import audit
from components.serving_directory.completeness import missing_file
from components.serving_directory.label_file import LabelFile, Server, read_file
from components.serving_directory.labels import CANARY, STABLE, Labels, read
from components.serving_directory.lock import locked
from components.serving_directory.models_config import write_labels
from components.serving_directory.versions import complete_versions, withdrawn_versions
from components.serving_directory.withdrawal import check_exists, finish
from trainer.errors import UserError


@dataclasses.dataclass(frozen=True)
class Moved:
    """What a promotion or a pin did.

    Attributes:
      before: The labels before it.
      after: The labels now.
    """

    before: Labels
    after: Labels


def label_live(serving_dir: str, live: str | None, server: Server) -> None:
    """Labels what is live where there are no labels, before a canary is pushed.

    Without labels the newest version is live: so would be the canary of a push that is
    killed before it has written them.

    Args:
      serving_dir: The versions; the caller holds their lock.
      live: The version that is live; None if there is none.
      server: For the model server's configuration.

    Raises:
      UserError: The labels cannot be written.
    """
    if live is not None and read_file(serving_dir) is None:
        write_labels(serving_dir, LabelFile(), live, None, server=server)


def label_push(
    serving_dir: str,
    version: str,
    replaced: str | None,
    *,
    as_canary: bool,
    server: Server,
) -> str:
    """Labels a version that was pushed: `stable`, or `canary` where it is tried first.

    It becomes the canary, too, where `stable` is pinned, and `stable` where nothing
    else is complete.

    Args:
      serving_dir: The versions; the caller holds their lock.
      version: The new version.
      replaced: What was live before; None if there was nothing.
      as_canary: Whether it is to be tried first.
      server: For the model server's configuration.

    Returns:
      The label.

    Raises:
      UserError: The labels cannot be written.
    """
    stored = read_file(serving_dir) or LabelFile()
    stable = replaced
    if stable is not None and missing_file(os.path.join(serving_dir, stable)):
        stable = None
    label = CANARY if stable and (as_canary or stored.pinned) else STABLE
    moved = (stable, version) if label == CANARY else (version, None)
    write_labels(serving_dir, stored, *moved, server=server)
    return label


def promote(serving_dir: str, version: str | None = None, *, reason: str = "") -> Moved:
    """Makes the canary, or another version, the stable one.

    Args:
      serving_dir: The serving directory.
      version: The version; None for the canary.
      reason: Why, for the audit.

    Raises:
      UserError: There is no canary or no such version, it is not complete, `stable` is
        pinned to another, or the directory is being changed.
    """
    check_exists(serving_dir)
    with locked(serving_dir, "a promotion"):
        finish(serving_dir)
        before = read(serving_dir)
        target = before.canary if version is None else version
        if target is None:
            raise UserError(
                f"There is no canary in {serving_dir} to promote",
                f"`two-tower promote VERSION` takes another: {_known(serving_dir)}.",
            )
        _check_complete(serving_dir, target)
        if before.pinned and before.stable != target:
            raise UserError(
                f"Not promoted: stable is pinned to version {before.stable}",
                f"`two-tower pin --off` ends that, and `two-tower pin {target}` moves "
                "the pin.",
            )
        return _move(
            serving_dir, "promote", before, target, before.pinned, reason=reason
        )


def pin(serving_dir: str, version: str | None = None, *, reason: str = "") -> Moved:
    """Makes a version the stable one, and keeps it so whatever is pushed.

    Args:
      serving_dir: The serving directory.
      version: The version; None for the one that is live.
      reason: Why, for the audit.

    Raises:
      UserError: There is no such version, it is not complete, or the directory is being
        changed.
    """
    check_exists(serving_dir)
    with locked(serving_dir, "a pin"):
        finish(serving_dir)
        before = read(serving_dir)
        target = before.stable if version is None else version
        if target is None:
            raise UserError(
                f"No version in {serving_dir} is complete", "Push one first."
            )
        _check_complete(serving_dir, target)
        return _move(serving_dir, "pin", before, target, True, reason=reason)


def unpin(serving_dir: str, *, reason: str = "") -> Moved:
    """Lets pushes and promotions move `stable` again.

    Args:
      serving_dir: The serving directory.
      reason: Why, for the audit.

    Raises:
      UserError: The directory is being changed, or cannot be written.
    """
    check_exists(serving_dir)
    with locked(serving_dir, "the end of a pin"):
        finish(serving_dir)
        before = read(serving_dir)
        if not before.pinned:
            return Moved(before, before)
        return _move(serving_dir, "unpin", before, before.stable, False, reason=reason)


def _move(
    serving_dir: str,
    action: audit.Action,
    before: Labels,
    stable: str | None,
    pinned: bool,
    *,
    reason: str,
) -> Moved:
    """Writes labels and audit; an unchanged label file is no move."""
    stored = read_file(serving_dir)
    canary = before.canary if before.canary != stable else None
    is_same = stored and not stored.damage
    if is_same and (before.stable, before.pinned) == (stable, pinned):
        write_labels(serving_dir, stored or LabelFile(), stable, canary)
        return Moved(before, read(serving_dir))
    moved = [stable] if stable else []
    audit.record(serving_dir, audit.Move(action, moved, before.stable, stable, reason))
    write_labels(serving_dir, stored or LabelFile(), stable, canary, pinned=pinned)
    return Moved(before, read(serving_dir))


def _check_complete(serving_dir: str, version: str) -> None:
    """Raises `UserError` where there is no such version, or it is not complete."""
    folder = os.path.join(serving_dir, version)
    if version.isdecimal() and storage.is_folder(folder):
        if file := missing_file(folder):
            raise UserError(
                f"Version {version} cannot be served: {folder} has no complete {file}",
                f"Choose another version: {_known(serving_dir)}.",
            )
        return
    remedy = f"Choose one of {_known(serving_dir)}."
    if version in withdrawn_versions(serving_dir):
        remedy = f"It was withdrawn: `two-tower rollback --restore {version}` first."
    raise UserError(f"There is no version {version} in {serving_dir}", remedy)


def _known(serving_dir: str) -> str:
    return ", ".join(complete_versions(serving_dir)) or "none is complete"
