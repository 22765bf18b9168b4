"""Bad rows: collected, then refused or set aside.

Damage in a ratings file is never skipped silently. With `fail` the run ends and reports
the first bad row and how many there are of each kind. With `quarantine` up to a limit
of bad rows are counted and written to a file of the artifact.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from components.movielens_example_gen.readers.rating_rows import Fault
from trainer.errors import UserError
from trainer.text import json_text

_SHOWN_CHARACTERS = 120
# With more than this many the whole file is wrong, and no limit could accept it.
_MAX_KEPT = 1_000_000


@dataclass(frozen=True, order=True)
class BadRow:
    """One refused row; sorted by file and line.

    Attributes:
      file: Path of the file as the user would type it.
      line: Line number, from 1.
      reason: The kind of fault, by which bad rows are counted.
      detail: The value found and what is allowed.
      content: The line, shortened.
    """

    file: str
    line: int
    reason: str
    detail: str
    content: str

    def __str__(self) -> str:
        """Formats it as `ratings.csv line 17: rating 99 is .. ('1,2,99,964982703')`."""
        return f"{self.file} line {self.line}: {self.detail} ({self.content!r})"


class BadRowsError(UserError):
    """The input has more bad rows than the policy accepts."""


@dataclass
class BadRows:
    """Collects bad rows and applies the policy when all input was read.

    Attributes:
      policy: "fail" or "quarantine".
      max_fraction: Share of all rows that may be quarantined.
      rows: The rows collected so far.
      num_read: Rows, good and bad, of the movies and users files with a bad one.
    """

    policy: str = "fail"
    max_fraction: float = 0.01
    rows: list[BadRow] = field(default_factory=list)
    num_read: int = 0

    def add(
        self, file: Path | str, line: int, reason: str, detail: str, content: bytes
    ) -> None:
        """Collects one row.

        Raises:
          BadRowsError: A million rows are bad.
        """
        text = content.decode("utf-8", "backslashreplace").rstrip("\r\n")
        if len(text) > _SHOWN_CHARACTERS:
            text = text[:_SHOWN_CHARACTERS] + "..."
        self.rows.append(BadRow(str(file), line, reason, detail, text))
        if len(self.rows) > _MAX_KEPT:
            self.refuse(f"More than {_MAX_KEPT} rows are bad")

    def add_fault(
        self, file: Path | str, line: int, fault: Fault, content: bytes
    ) -> None:
        """Collects one row, as `add` does."""
        self.add(file, line, fault.reason, fault.detail, content)

    def counts(self) -> dict[str, int]:
        """Returns the number of bad rows by reason."""
        return dict(sorted(Counter(row.reason for row in self.rows).items()))

    def apply(self, num_read: int) -> None:
        """Applies the policy to the rows collected.

        Args:
          num_read: Rows of ratings files that were read, bad ones included.

        Raises:
          BadRowsError: The policy is `fail` and there is a bad row, or more rows are
            bad than may be quarantined.
        """
        if not self.rows:
            return
        num_read += self.num_read
        if self.policy == "fail":
            self.refuse(f"{len(self.rows)} of {num_read} rows are bad")
        if len(self.rows) > self.max_fraction * num_read:
            self.refuse(
                f"{len(self.rows)} of {num_read} rows are bad, but at most "
                f"{self.max_fraction:.2%} may be quarantined "
                "(data.max_quarantined_fraction)"
            )

    def write(self, path: Path | str) -> None:
        """Writes the rows as JSON lines, in order of file and line."""
        with open(path, "w", encoding="utf-8") as out:
            for row in sorted(self.rows):
                out.write(json_text(row.__dict__, indent=None) + "\n")

    def refuse(self, how_many: str) -> NoReturn:
        """Ends the run with the first bad row.

        Args:
          how_many: How many rows are bad, or of what.
        """
        kinds = ", ".join(f"{reason}: {n}" for reason, n in self.counts().items())
        raise BadRowsError(
            f"{min(self.rows)}; {how_many} ({kinds})",
            "Fix the file, or set data.on_bad_row=quarantine to set such rows aside.",
        )
