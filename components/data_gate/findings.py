"""What DataGate finds, how it is told, and the error that stops the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from trainer.errors import UserError

_MEND_INPUT: Final = (
    "Mend the input and run again; if the data is right, correct "
    "components/schema_importer/schema.pbtxt."
)
_FINDINGS_IN_MESSAGE: Final = 3


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a split.

    Attributes:
      split: Name of the split.
      feature: Name of the feature, or `rows` where the split as a whole is meant.
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
    remedy: str = _MEND_INPUT

    def __str__(self) -> str:
        """Tells the finding as one clause, without a full stop."""
        text = f"{self.split}: {self.feature} must {self.expected}, found {self.found}"
        if self.count is None:
            return text
        plural = "" if self.count == 1 else "s"
        return f"{text} ({self.count:,} {self.unit}{plural})"


class DataGateError(UserError):
    """The data is not fit for training."""


def gate_error(findings: Sequence[Finding]) -> DataGateError:
    """Returns the error that tells the first findings, and how many more there are."""
    told = "; ".join(map(str, findings[:_FINDINGS_IN_MESSAGE]))
    more = len(findings) - _FINDINGS_IN_MESSAGE
    if more > 0:
        told += f"; and {more} more, all of them in the log"
    return DataGateError(
        f"The data is not fit for training: {told}", findings[0].remedy
    )
