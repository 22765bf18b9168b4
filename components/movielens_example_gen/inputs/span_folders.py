"""Folders of spans: parses their names and chooses those of a window."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainer.errors import UserError

NUMBERED: Final = "span-{SPAN}"
DATED: Final = "{YYYY}-{MM}-{DD}"
# Recognised without configuration; a span may have a subfolder for each version.
# A folder with versions also matches the pattern without, which therefore comes last.
_VERSIONS: Final = ("/version-{VERSION}", "/v{VERSION}")
KNOWN_PATTERNS: Final = (
    *(span + version for span in (NUMBERED, DATED) for version in _VERSIONS),
    *(NUMBERED, DATED),
)

_PLACEHOLDERS: Final = {
    "{SPAN}": r"(?P<span>[0-9]+)",
    "{YYYY}": r"(?P<year>[0-9]{4})",
    "{MM}": r"(?P<month>[0-9]{2})",
    "{DD}": r"(?P<day>[0-9]{2})",
    "{VERSION}": r"(?P<version>[0-9]+)",
}
_EPOCH: Final = datetime.date(1970, 1, 1)
_MAX_NAMED: Final = 5


@dataclass(frozen=True, order=True)
class SpanFolder:
    """One span's folder.

    Attributes:
      span: Its number; for a date the days since 1970-01-01, as in TFX.
      version: 0 where the pattern has no version.
      path: The folder.
    """

    span: int
    version: int
    path: Path


def span_number(text: str, pattern: str) -> int:
    """Returns the number of a span given as "12" or "2026-03-01".

    Raises:
      UserError: It is a date where the pattern has numbers, or the other way round.
    """
    if "{SPAN}" in pattern and text.isdigit():
        return int(text)
    if "{SPAN}" not in pattern:
        with contextlib.suppress(ValueError):
            return (datetime.date.fromisoformat(text) - _EPOCH).days
    kind = "numbers such as 12" if "{SPAN}" in pattern else "dates such as 2026-03-01"
    raise UserError(
        f"span {text!r} does not fit the pattern {pattern}",
        f"Give data.first_span and data.last_span as {kind}.",
    )


def span_name(span: int, pattern: str) -> str:
    """Returns a span as users name it: as a date if the pattern has dates."""
    if "{SPAN}" in pattern:
        return pattern.split("/", maxsplit=1)[0].replace("{SPAN}", str(span))
    return (_EPOCH + datetime.timedelta(days=span)).isoformat()


def find(base: Path, pattern: str) -> list[SpanFolder]:
    """Returns the newest version of each span that matches, oldest span first.

    Spans and versions are compared as numbers: 10 comes after 2, with or without
    leading zeros.

    Raises:
      UserError: The pattern has neither a number nor a date, or a folder's name is not
        a date of the calendar.
    """
    regex = _regex(pattern)
    newest: dict[int, SpanFolder] = {}
    for path in sorted(base.glob(re.sub(r"\{[A-Z]+\}", "*", pattern))):
        match = regex.fullmatch(path.relative_to(base).as_posix())
        if match is None or not path.is_dir():
            continue
        span = _number(match.groupdict(), path)
        folder = SpanFolder(span, int(match.groupdict().get("version") or 0), path)
        if span not in newest or folder > newest[span]:
            newest[span] = folder
    return sorted(newest.values())


def _regex(pattern: str) -> re.Pattern[str]:
    has_date = all(part in pattern for part in ("{YYYY}", "{MM}", "{DD}"))
    if ("{SPAN}" in pattern) == has_date:
        raise UserError(
            f"data.span_pattern {pattern!r} must have either {{SPAN}} or all of "
            "{YYYY}, {MM} and {DD}",
            f"Write it like {NUMBERED} or {DATED}.",
        )
    regex = re.escape(pattern)
    for placeholder, group in _PLACEHOLDERS.items():
        regex = regex.replace(re.escape(placeholder), group, 1)
    return re.compile(regex)


def _number(groups: dict[str, str], path: Path) -> int:
    if "span" in groups:
        return int(groups["span"])
    try:
        year, month, day = (int(groups[name]) for name in ("year", "month", "day"))
        return (datetime.date(year, month, day) - _EPOCH).days
    except ValueError as e:
        raise UserError(
            f"the name of {path} is not a date: {e}", "Rename the folder."
        ) from None


def choose(
    found: Sequence[SpanFolder],
    pattern: str,
    first: int | None,
    last: int | None,
    length: int | None,
) -> tuple[SpanFolder, ...]:
    """Chooses the window of spans to read.

    Args:
      found: All spans, oldest first.
      pattern: For messages, and to know whether spans are numbers or dates.
      first: First span of an explicit range; None for the oldest that `length` allows.
      last: Last span; None for the newest found.
      length: Spans of a rolling window; None for all.

    Returns:
      The chosen spans, oldest first.

    Raises:
      UserError: A requested span, or a number within the window, is missing.
    """
    end = found[-1].span if last is None else last
    _check_exist(found, [s for s in (first, end) if s is not None], pattern)
    before = [folder.span for folder in found if folder.span <= end]
    if "{SPAN}" in pattern:
        # Numbers are consecutive: a missing one was lost.
        start = before[0] if length is None else max(before[0], end - length + 1)
        wanted = list(range(start if first is None else first, end + 1))
        _check_exist(found, wanted, pattern)
    else:
        # Days without ratings have no folder: only the ends must exist.
        wanted = before if length is None else before[-length:]
        wanted = [s for s in wanted if first is None or s >= first]
    if not wanted:
        raise UserError(
            f"the first span, {span_name(first or 0, pattern)}, comes after the last, "
            f"{span_name(end, pattern)}",
            "Swap data.first_span and data.last_span.",
        )
    return tuple(folder for folder in found if folder.span in wanted)


def _check_exist(
    found: Sequence[SpanFolder], wanted: Sequence[int], pattern: str
) -> None:
    existing = {folder.span for folder in found}
    missing = [span for span in wanted if span not in existing]
    if missing:
        raise UserError(
            f"{_names(missing, pattern)} is missing in "
            f"{found[0].path.parents[pattern.count('/')]}",
            f"Found {_names(sorted(existing), pattern)}. Add it, or change "
            "data.first_span, last_span or span_window.",
        )


def _names(spans: Sequence[int], pattern: str) -> str:
    """Lists the spans' names; of many only the newest."""
    names = [span_name(span, pattern) for span in spans[-_MAX_NAMED:]]
    earlier = len(spans) - len(names)
    return ", ".join(([f"{earlier} earlier"] if earlier else []) + names)
