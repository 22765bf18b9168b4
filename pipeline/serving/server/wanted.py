"""Which versions of a serving directory a server should have loaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from components import serving_directory


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
    names = serving_directory.complete_versions(serving_dir)
    folders = {int(name): os.path.join(serving_dir, name) for name in names}
    newest_first = sorted(folders, reverse=True)
    return Wanted(folders, {}, newest_first, None)


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
