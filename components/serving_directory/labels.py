"""Which version is live, and which one is tried beside it.

*Live* is the version with the label `stable`; in a directory without labels, and where
that version is gone or damaged, the newest complete one.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from typing import Final

from components import storage
from components.serving_directory.completeness import missing_file
from components.serving_directory.label_file import read_file
from components.serving_directory.layout import LABELS_FILE
from components.serving_directory.versions import check_damage, newest_complete

STABLE: Final = "stable"
CANARY: Final = "canary"
_LOG: Final = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Labels:
    """Labels as they hold: each is on a complete version.

    Attributes:
      stable: The version that is live; None if none is complete.
      canary: The version that is tried beside it; None if there is none.
      pinned: Whether `stable` stays where it is, whatever is pushed.
      exist: Whether the directory has labels; else `stable` is the newest version.
      faults: What is wrong with the labels, with the remedy, one line each.
    """

    stable: str | None = None
    canary: str | None = None
    pinned: bool = False
    exist: bool = False
    faults: tuple[str, ...] = dataclasses.field(default=(), compare=False)

    def of(self, version: str) -> tuple[str, ...]:
        """Returns the labels of a version."""
        found = {STABLE: self.stable, CANARY: self.canary}
        return tuple(label for label, labelled in found.items() if labelled == version)


def read(serving_dir: str) -> Labels:
    """Returns the labels; a label on a version that is gone or damaged does not hold.

    Raises:
      UserError: The directory cannot be read.
    """
    stored = read_file(serving_dir)
    if stored is None:
        return Labels(stable=newest_complete(serving_dir))
    faults = []
    if stored.damage:
        path = os.path.join(serving_dir, LABELS_FILE)
        faults.append(
            f"{path} is damaged: {stored.damage}. The newest complete version counts "
            "as stable. `two-tower pin VERSION` writes it anew."
        )
    stable = _holding(serving_dir, STABLE, stored.stable, faults)
    canary = _holding(serving_dir, CANARY, stored.canary, faults)
    if stable is None:
        stable = newest_complete(serving_dir)
    return Labels(
        stable, canary if canary != stable else None, stored.pinned, True, tuple(faults)
    )


def live_version(serving_dir: str) -> str | None:
    """Returns the version that is live.

    Returns:
      The version with the label `stable`, else the newest that is complete; None if
      there is no version.

    Raises:
      UserError: The directory cannot be read, or versions that are damaged or that
        another program copies are all that there is.
    """
    labels = read(serving_dir)
    for fault in labels.faults:
        _LOG.warning("%s", fault)
    if labels.stable is None:
        check_damage(serving_dir)
    return labels.stable


def _holding(
    serving_dir: str, label: str, version: str | None, faults: list[str]
) -> str | None:
    """Returns the version of a label if it is complete; else None, with the fault."""
    if version is None:
        return None
    folder = os.path.join(serving_dir, version)
    if not storage.is_folder(folder):
        cause = "is gone"
    elif file := missing_file(folder):
        cause = f"has no complete {file}"
    else:
        return version
    instead = (
        "; the newest complete version counts instead. `two-tower promote VERSION` or "
        "`two-tower pin VERSION` moves the label."
        if label == STABLE
        else "; there is no canary."
    )
    faults.append(
        f"Version {version} of {serving_dir}, labelled {label}, {cause}{instead}"
    )
    return None
