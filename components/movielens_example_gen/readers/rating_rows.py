r"""The rules for a row of a ratings file: how a line is split, and what is valid.

    line      = field (delimiter field)*        with as many fields as there are columns
    field     = '"' (not '"' | '""')* '"' rest | rest      quotes in CSV files only
    id        = text without control characters, not blank, at most 1,000 characters
    rating    = number on the edition's scale
    timestamp = seconds since the epoch, whole or with decimals, which are cut off
              | YYYY-MM-DD, alone or with [T ]hh:mm[:ss[.fraction]] and Z or +hh:mm,
                UTC if there is no zone

Outer blanks of a field do not count. Digits are ASCII.

`row_splits` splits lines, and `row_values` reads columns; here is what is valid.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Final

from components.movielens_example_gen.inputs.editions import (
    RATING,
    TIMESTAMP,
)
from trainer import text as trainer_text
from trainer.movielens import RatingScale

# A float32 of 3.7 is no multiple of 0.1.
_STEP_TOLERANCE: Final = 1e-3
MAX_ID_CHARACTERS: Final = 1_000
_SHOWN_CHARACTERS: Final = 60
_NUMBER: Final = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?|[+-]?(nan|inf(inity)?)",
    re.IGNORECASE,
)
_SECONDS: Final = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]*))?")
_DATE: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]+)?)?"
    r" ?(?:Z|([+-])([01][0-9]|2[0-3]):?([0-5][0-9]))?)?"
)
_EPOCH: Final = datetime.datetime(1970, 1, 1)
_MAX_DIGITS: Final = 40
# Seconds reach the first in the year 5138; milliseconds did in 1973.
_UNITS: Final = (
    (10**11, "milliseconds", 1_000),
    (10**14, "microseconds", 1_000_000),
    (10**17, "nanoseconds", 1_000_000_000),
)


@dataclass(frozen=True)
class Fault:
    """Why a row is refused.

    Attributes:
      reason: The kind, by which refused rows are counted.
      detail: The value found and what is allowed.
    """

    reason: str
    detail: str


def id_fault(column: str, text: str) -> Fault | None:
    """Returns why a text is no user or movie id, or None if it is one."""
    is_plain = text.isascii() and text.isprintable() and bool(text.strip())
    if is_plain and len(text) <= MAX_ID_CHARACTERS:
        return None
    if trainer_text.has_control_characters(text.strip(" \t")):
        shown = trainer_text.escaped(text)[:_SHOWN_CHARACTERS]
        return Fault(column, f"{column} '{shown}' holds a control character")
    if trainer_text.is_blank(text):
        return Fault(column, f"{column} is empty")
    if len(text) > MAX_ID_CHARACTERS:
        limit = f"at most {MAX_ID_CHARACTERS:,} are allowed"
        return Fault(column, f"{column} has {len(text):,} characters, {limit}")
    return None


class RowRules:
    """What a row of an edition's ratings files may hold."""

    def __init__(self, scale: RatingScale, latest: int) -> None:
        """Makes the rules.

        Args:
          scale: The edition's rating scale.
          latest: Newest possible timestamp, in seconds since the epoch, UTC.
        """
        self.scale: Final = scale
        self.latest: Final = latest

    def rating(self, text: str) -> float | Fault:
        """Reads a rating, in stars."""
        text = text.strip()
        if len(text) > _MAX_DIGITS or not _NUMBER.fullmatch(text):
            return Fault(RATING, f"rating {_shown(text)} is not a number")
        value, scale = float(text), self.scale
        if scale.lowest <= value <= scale.highest:
            steps = (value - scale.lowest) / scale.step
            if abs(steps - round(steps)) < _STEP_TOLERANCE:
                return value
        return Fault(RATING, f"rating {value:g} is not on the edition's scale, {scale}")

    def timestamp(self, text: str) -> int | Fault:
        """Reads a timestamp: seconds since the epoch, UTC."""
        text = text.strip()
        seconds = _seconds(text)
        if seconds is None:
            seconds = _date_seconds(text)
        if seconds is None:
            detail = "neither seconds since 1970 nor a date such as 2026-03-01T12:00:00"
            return Fault(TIMESTAMP, f"timestamp {_shown(text)} is {detail}")
        if 0 <= seconds <= self.latest:
            return seconds
        is_whole = text.lstrip("+-").isdigit()
        return self.wrong_time(seconds, None if is_whole else text)

    def wrong_time(self, seconds: int, text: str | None = None) -> Fault:
        """Says what is wrong with a time before 1970 or in the future.

        Args:
          seconds: The value.
          text: How it is written, if not as a whole number.
        """
        shown = str(seconds) if text is None else text
        detail = "is before 1970" if seconds < 0 else "is in the future"
        for least, unit, divisor in _UNITS:
            if seconds >= least:
                detail = f"looks like {unit}: divide by {divisor:,}"
        return Fault(TIMESTAMP, f"timestamp {shown} {detail}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS])


def _seconds(text: str) -> int | None:
    """Reads seconds, rounding down; None if it is no such number."""
    number = _SECONDS.fullmatch(text)
    if number is None:
        return None
    sign, whole, decimals = number.groups()
    whole = whole.lstrip("0") or "0"  # as Arrow reads them
    if len(whole) + len(decimals or "") > _MAX_DIGITS:
        return None
    if sign != "-":
        return int(whole)
    return -int(whole) - (int(decimals or 0) > 0)


def _date_seconds(text: str) -> int | None:
    """Reads a date with or without a time; None if it is none."""
    date = _DATE.fullmatch(text)
    if date is None:
        return None
    *parts, sign, zone_hours, zone_minutes = date.groups()
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in parts)
        moment = datetime.datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
    offset = 3600 * int(zone_hours or 0) + 60 * int(zone_minutes or 0)
    seconds = int((moment - _EPOCH).total_seconds())
    return seconds + offset if sign == "-" else seconds - offset
