"""Whom to recommend to: ids from a file, one a line, in any script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainer.errors import UsageError
from trainer.text import escaped

_SHOWN: Final = 10
_BOM: Final = "\ufeff"


@dataclass(frozen=True)
class IdFile:
    """Ids of a file.

    Attributes:
      path: The file.
      ids: Each id once, in order.
      lines: Line number of each.
      repeated: Number of lines with an id that an earlier line has.
    """

    path: Path
    ids: list[str]
    lines: list[int]
    repeated: int

    def refuse_unknown(self, known: Sequence[bool], what: str, remedy: str) -> None:
        """Lists the ids that the model does not know.

        Args:
          known: Whether each id is known.
          what: What they are, in the plural.
          remedy: What to do about them.

        Raises:
          UsageError: One is unknown.
        """
        unknown = [
            (line, name)
            for line, name, is_known in zip(self.lines, self.ids, known, strict=True)
            if not is_known
        ]
        if not unknown:
            return
        shown = ", ".join(f"{escaped(n)!r} (line {i})" for i, n in unknown[:_SHOWN])
        more = f" and {len(unknown) - _SHOWN:,} more" if len(unknown) > _SHOWN else ""
        raise UsageError(
            f"{self.path} has {len(unknown):,} {what} that the model does not know: "
            f"{shown}{more}",
            remedy,
        )


def read_ids(path: Path) -> IdFile:
    """Reads a file with one id a line; blanks belong to the id, empty lines do not.

    Raises:
      UsageError: It cannot be read, is no UTF-8 text, or has no id.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}",
            "Name a file with one id a line.",
        ) from error
    found: dict[str, int] = {}
    count = 0
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            text = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{path}, line {number}: byte {error.start + 1} is not UTF-8",
                "Save the file as UTF-8, one id a line.",
            ) from error
        if "\0" in text:
            raise UsageError(
                f"{path}, line {number} has a null character",
                "Save the file as UTF-8 text, one id a line.",
            )
        name = text.removeprefix(_BOM) if number == 1 else text
        if name:
            count += 1
            found.setdefault(name, number)
    if not found:
        raise UsageError(f"{path} has no id", "Give one id a line.")
    return IdFile(path, list(found), list(found.values()), count - len(found))
