"""What DataGate finds, and the error that stops the run."""

from __future__ import annotations

import dataclasses
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from trainer.errors import UserError
from trainer.text import escaped

_FIX_INPUT: Final = (
    "Fix the input and run again; if the data is right, correct "
    "components/schema_importer/schema.pbtxt."
)
_SAMPLES: Final = 3


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a split.

    Attributes:
      split: Name of the split.
      feature: Name of the feature, or `the split` where all of it is meant.
      expected: What it must be, as the end of "must ...".
      found: What was there: values or an amount, in words.
      count: How many `unit`s are wrong, or make up the distribution that is; None
        where this cannot be counted.
      unit: What is counted: `value` or `row`.
      remedy: What to do about it.
    """

    split: str
    feature: str
    expected: str
    found: str
    count: int | None = None
    unit: str = "value"
    remedy: str = _FIX_INPUT

    def __str__(self) -> str:
        """Formats the finding as one clause, without a full stop."""
        text = f"{self.split}: {self.feature} must {self.expected}, found {self.found}"
        if self.count is None:
            return text
        plural = "" if self.count == 1 else "s"
        return f"{text} ({self.count:,} {self.unit}{plural})"


@dataclasses.dataclass
class _Entry:
    unit: str
    count: int = 0
    found: list[str] = dataclasses.field(default_factory=list)


class FindingCounter:
    """Counts violations over the batches of a split, by feature and expectation.

    The first few values that broke the expectation are kept as samples.
    """

    def __init__(self, split: str) -> None:
        """Starts empty for the split of this name."""
        self._split = split
        self._entries: dict[tuple[str, str], _Entry] = {}

    def add_values(self, feature: str, expected: str, values: pa.Array) -> None:
        """Counts values that break the expectation; does nothing without any."""
        if not len(values):
            return
        entry = self._count(feature, expected, "value", len(values))
        for value in pc.unique(values).to_pylist():
            if len(entry.found) > _SAMPLES:
                break
            if (text := _format_value(value)) not in entry.found:
                entry.found.append(text)

    def add_rows(self, feature: str, expected: str, found: str, count: int) -> None:
        """Counts rows that break the expectation; does nothing without any."""
        if count:
            self._count(feature, expected, "row", count).found = [found]

    def findings(self) -> list[Finding]:
        """Returns one finding for each expectation that was broken."""
        return [
            Finding(
                split=self._split,
                feature=feature,
                expected=expected,
                found=", ".join(entry.found[:_SAMPLES])
                + (", ..." if len(entry.found) > _SAMPLES else ""),
                count=entry.count,
                unit=entry.unit,
            )
            for (feature, expected), entry in self._entries.items()
        ]

    def _count(self, feature: str, expected: str, unit: str, count: int) -> _Entry:
        entry = self._entries.setdefault((feature, expected), _Entry(unit))
        entry.count += count
        return entry


def _format_value(value: bytes | float | int) -> str:
    if isinstance(value, bytes):
        return f'"{escaped(value.decode("utf-8", "replace"))}"'
    return f"{value:g}" if isinstance(value, float) else str(value)


class DataGateError(UserError):
    """The data is not fit for training."""
