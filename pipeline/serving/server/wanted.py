"""Which versions of a serving directory a server should have loaded."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from components import serving_directory
from components.serving_directory import labels

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What should be served.

    Attributes:
      folders: Folder of each complete version, by number.
      labels: Label -> version.
      candidates: Versions for requests that name none: the live one, then those that
        stand in for it if it cannot be loaded.
      canary: Version to have loaded beside it; None if there is none.
    """

    folders: dict[int, str]
    labels: dict[str, int]
    candidates: list[int]
    canary: int | None


def wanted_versions(serving_dir: str) -> Wanted:
    """Returns what a serving directory says.

    Only complete versions count. Those that stand in for the live version are older: a
    newer one was not made live on purpose.

    Raises:
      UserError: It cannot be read.
    """
    labelled = labels.read(serving_dir)
    for fault in labelled.faults:
        _LOG.warning("%s", fault)
    names = serving_directory.complete_versions(serving_dir)
    folders = {int(name): os.path.join(serving_dir, name) for name in names}
    named = {labels.STABLE: labelled.stable, labels.CANARY: labelled.canary}
    # A version may have been withdrawn between the two readings.
    numbers = {
        label: int(name) for label, name in named.items() if name in names and name
    }
    live = numbers.get(labels.STABLE, max(folders, default=0))
    candidates = sorted((n for n in folders if n <= live), reverse=True)
    canary = numbers.get(labels.CANARY)
    return Wanted(folders, numbers if labelled.exist else {}, candidates, canary)


def fingerprint(folder: str) -> tuple[tuple[str, int, int], ...]:
    """Returns what changes when a damaged version is copied again."""
    names = ("saved_model.pb", "variables/variables.index", "assets.extra")
    found = []
    for name in names:
        try:
            stat = (Path(folder) / name).stat()
        except OSError:
            continue
        found.append((name, stat.st_mtime_ns, stat.st_size))
    return tuple(found)
