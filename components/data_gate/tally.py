"""Adds up what is wrong over the batches of a split."""

from __future__ import annotations

import dataclasses
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from components.data_gate.findings import Finding

_SAMPLES: Final = 3


@dataclasses.dataclass
class _Entry:
    count: int = 0
    unit: str = "value"
    found: list[str] = dataclasses.field(default_factory=list)


class Tally:
    """Counts by feature and expectation, with the first few values that broke it."""

    def __init__(self, split: str) -> None:
        """Starts empty for the split of this name."""
        self._split = split
        self._entries: dict[tuple[str, str], _Entry] = {}

    def add_values(self, feature: str, expected: str, values: pa.Array) -> None:
        """Counts values that break the expectation; does nothing without any."""
        if not len(values):
            return
        entry = self._entry(feature, expected, "value")
        entry.count += len(values)
        for value in pc.unique(values).to_pylist():
            if len(entry.found) > _SAMPLES:
                break
            if (text := _in_words(value)) not in entry.found:
                entry.found.append(text)

    def add_rows(self, feature: str, expected: str, found: str, count: int) -> None:
        """Counts rows that break the expectation; does nothing without any."""
        if not count:
            return
        entry = self._entry(feature, expected, "row")
        entry.count += count
        entry.found = [found]

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

    def _entry(self, feature: str, expected: str, unit: str) -> _Entry:
        return self._entries.setdefault((feature, expected), _Entry(unit=unit))


def _in_words(value: bytes | float | int) -> str:
    if isinstance(value, bytes):
        return f'"{value.decode("utf-8", "replace")}"'
    return f"{value:g}" if isinstance(value, float) else str(value)
