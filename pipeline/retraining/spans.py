"""Which spans there are, and which of them a retraining is for.

A rolling window ends at that span: `data.span_window` and `data.first_span` mean the
same as in any other run.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.inputs import span_folders
from components.movielens_example_gen.inputs.span_folders import SpanFolder
from components.movielens_example_gen.inputs.spans import find_spans
from trainer.errors import UserError

CatchUp = Literal["all", "newest"]

_EPOCH: Final = datetime.date(1970, 1, 1)
# Somewhere it is tomorrow already.
_DAYS_AHEAD: Final = 1


@dataclass(frozen=True)
class Wanted:
    """Which spans to retrain on.

    Attributes:
      span: The span, or the last one of `catch_up`: a number or a date; None for the
        newest that there is.
      catch_up: `all` for each span after the last that was trained on, in order;
        `newest` for the last of these alone; None for one span.
    """

    span: str | None = None
    catch_up: CatchUp | None = None


@dataclass(frozen=True)
class Spans:
    """The spans of a folder.

    Attributes:
      pattern: Of their folders' names.
      folders: Oldest first; empty if the folder holds an edition without spans.
    """

    pattern: str
    folders: Sequence[SpanFolder]

    @classmethod
    def of(cls, folder: Path, config: ExampleGenConfig) -> Spans:
        """Finds the spans of a folder, which need not exist yet.

        Raises:
          UserError: The folders' names are not of one pattern, or not valid.
        """
        pattern, found = find_spans(folder, config)
        return cls(pattern, found)

    def name(self, span: int) -> str:
        """Returns the name by which users know a span, such as `span-7`."""
        return span_folders.span_name(span, self.pattern)

    def setting(self, span: int) -> str:
        """Returns a span as `data.last_span` has it."""
        if "{SPAN}" in self.pattern:
            return str(span)
        return self.name(span)

    def number(self, text: str) -> int:
        """Returns the number of a span given as in `Wanted`.

        Raises:
          UserError: It does not fit the pattern.
        """
        return span_folders.span_number(text, self.pattern)

    def number_of_name(self, name: str | None) -> int | None:
        """Returns the number of a span's name; None if it is of another pattern."""
        if name is None:
            return None
        prefix = self.pattern.split("/", maxsplit=1)[0].partition("{SPAN}")[0]
        text = name.removeprefix(prefix) if "{SPAN}" in self.pattern else name
        try:
            return self.number(text)
        except UserError:
            return None

    def is_in_future(self, span: int, today: datetime.date) -> bool:
        """Returns whether a span is of a day that has not begun anywhere."""
        if "{SPAN}" in self.pattern:
            return False
        return span > (today - _EPOCH).days + _DAYS_AHEAD

    def folder(self, span: int) -> SpanFolder | None:
        """Returns the folder of a span; None if there is none."""
        return next((f for f in self.folders if f.span == span), None)

    def before(self, span: int) -> SpanFolder | None:
        """Returns the newest span that is older than another."""
        older = [folder for folder in self.folders if folder.span < span]
        return older[-1] if older else None


def choose(
    spans: Spans, wanted: Wanted, trained: int | None, today: datetime.date
) -> list[int]:
    """Chooses the spans to retrain on.

    Args:
      spans: Those that there are, at least one.
      wanted: What was asked for.
      trained: The newest span that was trained on; None if none was.
      today: UTC, to leave spans of the future alone.

    Returns:
      Their numbers, in the order in which to retrain: at least one. A span that was
      asked for need not exist.

    Raises:
      UserError: A span that was asked for is in the future, or all are.
    """
    past = [f.span for f in spans.folders if not spans.is_in_future(f.span, today)]
    if wanted.span is not None:
        last = spans.number(wanted.span)
    elif past:
        last = past[-1]
    else:
        last = spans.folders[0].span
    if spans.is_in_future(last, today):
        raise UserError(
            f"{spans.name(last)} is in the future: today is {today.isoformat()} UTC",
            "Rename its folder, or set the clock of this machine.",
        )
    if wanted.catch_up is None:
        return [last]
    missed = [s for s in past if (trained is None or s > trained) and s < last]
    if wanted.catch_up == "newest":
        missed = []
    # Without a new span the last is looked at again: late data may have changed it.
    return [*missed, last]
