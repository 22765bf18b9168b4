"""Which files of a folder hold ratings, movies or users: whole files or parts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trainer.errors import UserError

_GZIP_SUFFIX: Final = ".gz"
# "1", "2026-03" or "00000-of-00004"
_PART: Final = re.compile(r"(?P<number>[0-9]+)(-[0-9]+)*?(-of-(?P<total>[0-9]+))?")


def matching(folder: Path, patterns: tuple[str, ...]) -> tuple[Path, ...]:
    """Finds the files of one kind, each plain or compressed with gzip.

    Args:
      folder: Where to look; folders within are not searched.
      patterns: Name of the whole file, and pattern of the names of parts. No patterns
        find no files.

    Returns:
      The files that are not empty, sorted by name.

    Raises:
      UserError: All are empty, a link is broken, a part is missing, or it is ambiguous
        which to read: a file is there twice, or one is neither the whole file nor a
        part of it.
    """
    names = [pattern + end for pattern in patterns for end in ("", _GZIP_SUFFIX)]
    named = {path for name in names for path in folder.glob(name)}
    broken = sorted(p for p in named if p.is_symlink() and not p.exists())
    if broken:
        raise UserError(
            f"{broken[0]} is a link to a file that is not there",
            "Remove it, or restore the file.",
        )
    found = sorted(path for path in named if path.is_file())
    # Object stores mark folders with empty files, and a part may have no rows.
    filled = [path for path in found if path.stat().st_size > 0]
    if found and not filled:
        raise UserError(f"{found[0]} is empty", "Copy or download it again.")
    _check_each_once(filled)
    _check_parts(found, patterns)
    return tuple(filled)


def plain_name(path: Path) -> str:
    """Returns the name of a file without the `.gz` of gzip."""
    return path.name.removesuffix(_GZIP_SUFFIX)


def _check_each_once(paths: Sequence[Path]) -> None:
    for one, other in itertools.pairwise(paths):
        if plain_name(one) == plain_name(other):
            raise UserError(
                f"{one.parent} holds both {one.name} and {other.name}",
                "Keep one of the two.",
            )


def _check_parts(paths: Sequence[Path], patterns: tuple[str, ...]) -> None:
    """Checks that all files have a name of the whole or of a part, and none is missing.

    Parts may stand beside the whole file, unless they are numbered as parts of it.
    """
    numbers: dict[int, set[int]] = {}
    for path in paths:
        whole, (start, _, end) = patterns[0], patterns[-1].partition("*")
        name = plain_name(path)
        part = _PART.fullmatch(name.removeprefix(start).removesuffix(end))
        if name != whole and part is None and path.stat().st_size > 0:
            others = ", ".join(other.name for other in paths if other != path)
            raise UserError(
                f"{path} is neither {whole} nor a part with a number"
                f"{', and stands beside ' + others if others else ''}",
                f"Remove it, or name it as a part ({start}1{end}).",
            )
        if part is not None and part["total"]:
            numbers.setdefault(int(part["total"]), set()).add(int(part["number"]))
    for total, present in numbers.items():
        if len(present) != total or len(paths) != total:
            raise UserError(
                f"{paths[0].parent} holds {', '.join(path.name for path in paths)}, "
                f"which are not the {total} parts of {patterns[0]}",
                "Add the parts that are missing, and remove other files.",
            )
