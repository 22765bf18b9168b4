"""What one row of a ratings file may hold, and what to say where it does not."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.movielens_example_gen.editions import (
    RATING_COLUMNS,
    Family,
    RatingScale,
)
from trainer.errors import UserError

_INTEGER = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?nan|inf")
# Seconds reach this in the year 5138; milliseconds did in 1973.
_MILLISECONDS = 100_000_000_000
_INT64_DIGITS = 18
# A float32 of 3.7 is no multiple of 0.1.
_STEP_TOLERANCE = 1e-3


# User id, movie id, rating in stars, timestamp in seconds.
Row = tuple[str, str, float, int]


@dataclass(frozen=True)
class Fault:
    """Why a row is refused: the kind, and the value with what is allowed."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Limits:
    """The values that a rating row may have.

    Attributes:
      scale: The edition's rating scale.
      latest: Newest possible timestamp, seconds since the epoch, UTC.
    """

    scale: RatingScale
    latest: int

    def good_ratings(self, ratings: NDArray[np.float32]) -> NDArray[np.bool_]:
        """`[n]` whether each rating is on the scale; NaN is not."""
        with np.errstate(invalid="ignore"):
            steps = (ratings - self.scale.lowest) / self.scale.step
            is_step = np.abs(steps - np.round(steps)) < _STEP_TOLERANCE
        good: NDArray[np.bool_] = (
            (ratings >= self.scale.lowest) & (ratings <= self.scale.highest) & is_step
        )
        return good

    def good_timestamps(self, timestamps: NDArray[np.int64]) -> NDArray[np.bool_]:
        """`[n]` whether each timestamp is between 1970 and `latest`."""
        good: NDArray[np.bool_] = (timestamps >= 0) & (timestamps <= self.latest)
        return good


def header_columns(
    path: Path, head: bytes, family: Family, header: dict[str, str]
) -> tuple[str, ...]:
    """Our name of each column of a CSV file, "" for one that is not read.

    Raises:
      UserError: A column that is needed is missing.
    """
    found = next(csv.reader([head.decode(family.encoding, "replace").strip()]), [])
    ours = {theirs: name for name, theirs in header.items() if name in RATING_COLUMNS}
    columns = tuple(ours.get(name.strip(), "") for name in found)
    for name in RATING_COLUMNS:
        if name not in columns:
            raise UserError(
                f"{path} line 1: no column {header[name]!r} in the header {found}",
                f"Set data.columns.{name} to the column's name, or add a header.",
            )
    return columns


def parse_row(
    raw: bytes,
    family: Family,
    columns: tuple[str, ...],
    limits: Limits,
    min_digits: int = 0,
) -> Row | Fault:
    """Reads one line.

    Args:
      raw: The line.
      family: Its format.
      columns: Our names of the fields, "" for those that are not read.
      limits: What a rating and a timestamp may be.
      min_digits: Fewest digits of the timestamps before it, given for a last line
        without a line break: with fewer it was cut off within the number.

    Returns:
      (user id, movie id, rating, timestamp), or why the row is refused.
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
    fault = _check_values(values, limits, min_digits)
    if fault:
        return fault
    return (
        values["user_id"],
        values["movie_id"],
        float(values["rating"]),
        int(values["timestamp"]),
    )


def _fields(text: str, family: Family) -> list[str]:
    if not family.has_header:
        return text.split(family.delimiter)
    try:
        # Not strict: a quote within a field is taken as Arrow's parser takes it.
        return next(csv.reader([text]), [])
    except csv.Error:
        return [text]


def _check_values(
    values: dict[str, str], limits: Limits, min_digits: int
) -> Fault | None:
    for name in ("user_id", "movie_id"):
        if not values[name]:
            return Fault(name, f"{name} is empty")
    rating, timestamp = values["rating"], values["timestamp"]
    if not _NUMBER.fullmatch(rating):
        return Fault("rating", f"rating {rating!r} is not a number")
    if not limits.good_ratings(np.array([rating], np.float32))[0]:
        return Fault(
            "rating", f"rating {rating} is not on the edition's scale, {limits.scale}"
        )
    if not _INTEGER.fullmatch(timestamp) or len(timestamp) > _INT64_DIGITS:
        return Fault(
            "timestamp", f"timestamp {timestamp!r} is not a whole number of seconds"
        )
    if len(timestamp) < min_digits:
        return Fault("timestamp", f"timestamp {timestamp} is cut off at the file's end")
    return _check_time(int(timestamp), limits)


def _check_time(timestamp: int, limits: Limits) -> Fault | None:
    if timestamp < 0:
        return Fault("timestamp", f"timestamp {timestamp} is before 1970")
    if timestamp >= _MILLISECONDS:
        return Fault(
            "timestamp",
            f"timestamp {timestamp} looks like milliseconds: divide by 1000",
        )
    if timestamp > limits.latest:
        return Fault("timestamp", f"timestamp {timestamp} is in the future")
    return None
