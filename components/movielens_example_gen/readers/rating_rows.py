"""The rules for a row of a ratings file, and the parser of a single line.

`RowRules` says what a valid user id, movie id, rating and timestamp is. It checks whole
columns, whichever parser made them: the one for blocks in `rating_files`, which is fast
and gives up at the first thing that it cannot read, or `parse_line`, which reports what
is wrong with a line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.movielens_example_gen.inputs.editions import (
    MOVIE,
    RATING,
    RATING_COLUMNS,
    TIMESTAMP,
    USER,
    Family,
)
from trainer.movielens import RatingScale

# Seconds reach this in the year 5138; milliseconds did in 1973.
_MILLISECONDS: Final = 100_000_000_000
# A float32 of 3.7 is no multiple of 0.1.
_STEP_TOLERANCE: Final = 1e-3
# At most 18 digits, which fit an int64, behind any leading zeros.
_INTEGER: Final = re.compile(r"-?0*[0-9]{1,18}")
_NUMBER: Final = re.compile(
    r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|nan|inf(inity)?)",
    re.IGNORECASE,
)

# Texts of user id, movie id, rating and timestamp, without outer spaces.
Texts = tuple[str, str, str, str]


@dataclass(frozen=True)
class Fault:
    """Why a row is refused.

    Attributes:
      reason: The kind, by which refused rows are counted.
      detail: The value found and what is allowed.
    """

    reason: str
    detail: str


@dataclass(frozen=True)
class Rule:
    """A condition that every value of a column must meet.

    Attributes:
      column: The column, which is also the reason of a `Fault`.
      holds: Maps the column to a mask, `[num_rows]`.
      message: What to report of a value that breaks the rule, a format of `value`.
    """

    column: str
    holds: Callable[[pa.ChunkedArray], NDArray[np.bool_]]
    message: str


class RowRules:
    """What a row of an edition's ratings files may hold."""

    def __init__(self, scale: RatingScale, latest: int) -> None:
        """Makes the rules.

        Args:
          scale: The edition's rating scale.
          latest: Newest possible timestamp, in seconds since the epoch, UTC.
        """
        off_scale = f"rating {{value:g}} is not on the edition's scale, {scale}"
        early = "timestamp {value} is before 1970"
        milliseconds = "timestamp {value} looks like milliseconds: divide by 1000"
        late = "timestamp {value} is in the future"
        self.rules: Final = (
            Rule(USER, _not_blank, "user_id is empty"),
            Rule(MOVIE, _not_blank, "movie_id is empty"),
            Rule(RATING, lambda c: _on_scale(c.to_numpy(), scale), off_scale),
            Rule(TIMESTAMP, lambda c: c.to_numpy() >= 0, early),
            Rule(TIMESTAMP, lambda c: c.to_numpy() < _MILLISECONDS, milliseconds),
            Rule(TIMESTAMP, lambda c: c.to_numpy() <= latest, late),
        )

    def broken(self, table: pa.Table) -> Iterator[tuple[Rule, NDArray[np.int64]]]:
        """Yields each rule that is broken, with the rows that break it.

        Args:
          table: The columns `RATING_COLUMNS`; ids are dictionary-encoded.
        """
        for rule in self.rules:
            holds = rule.holds(table[rule.column])
            if not holds.all():
                yield rule, np.flatnonzero(~holds)


def _not_blank(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    masks = [np.zeros(0, bool)]
    for chunk in column.chunks:
        trimmed = pc.utf8_trim_whitespace(chunk.dictionary)
        is_id = pc.not_equal(trimmed, "").to_numpy(zero_copy_only=False)
        all_good = np.ones(len(chunk), bool)
        masks.append(all_good if is_id.all() else is_id[chunk.indices.to_numpy()])
    return np.concatenate(masks)


def _on_scale(ratings: NDArray[np.float32], scale: RatingScale) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        steps = (ratings - scale.lowest) / scale.step
        is_step = np.abs(steps - np.round(steps)) < _STEP_TOLERANCE
        is_step &= (ratings >= scale.lowest) & (ratings <= scale.highest)
    return is_step


def parse_line(
    raw: bytes, family: Family, columns: tuple[str, ...], min_digits: int = 0
) -> Texts | Fault:
    """Splits one line and checks that its numbers are numbers.

    Args:
      raw: The line.
      family: Its format.
      columns: Our names of the fields in order, "" for those that are not read.
      min_digits: Fewest digits of the timestamps so far, given for a last line that
        does not end in a line break: with fewer, the number itself was cut off.

    Returns:
      The values as text, or why the row is refused.
    """
    try:
        text = raw.rstrip(b"\r").decode(family.encoding)
    except UnicodeDecodeError as e:
        return Fault(
            "encoding", f"byte {e.object[e.start : e.end]!r} is not {e.encoding}"
        )
    fields = _fields(text, family)
    if len(fields) != len(columns):
        cause = f"a delimiter ({family.delimiter!r}) too many or too few"
        if min_digits:
            cause = f"cut off at the file's end, or {cause}"
        return Fault(
            "fields", f"{len(fields)} fields instead of {len(columns)}: {cause}"
        )
    values = dict(zip(columns, (field.strip() for field in fields), strict=True))
    user, movie, rating, timestamp = (values[name] for name in RATING_COLUMNS)
    if not _NUMBER.fullmatch(rating):
        return Fault(RATING, f"rating {rating!r} is not a number")
    if not _INTEGER.fullmatch(timestamp):
        return Fault(
            TIMESTAMP, f"timestamp {timestamp!r} is not a whole number of seconds"
        )
    if len(timestamp) < min_digits:
        return Fault(TIMESTAMP, f"timestamp {timestamp} is cut off at the file's end")
    return user, movie, rating, timestamp


def _fields(text: str, family: Family) -> list[str]:
    if not family.has_header:
        return text.split(family.delimiter)
    try:
        # Not strict: a quote within a field is read as Arrow's parser reads it.
        return next(csv.reader([text]), [])
    except csv.Error:
        return [text]
