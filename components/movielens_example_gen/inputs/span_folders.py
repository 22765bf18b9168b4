"""Folders of spans: parses their names and chooses those of a window."""

from __future__ import annotations

import contextlib
import datetime
import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
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
_MAX_NUMBER: Final = 2**63 - 1


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
      UserError: The pattern has neither a number nor a date or leads out of the
        folder, a folder's name is not a date of the calendar or too large a number, or
        two folders are the same span.
    """
    regex = _regex(pattern)
    newest: dict[int, SpanFolder] = {}
    for path in sorted(base.glob(re.sub(r"\{[A-Z]+\}", "*", glob.escape(pattern)))):
        match = regex.fullmatch(path.relative_to(base).as_posix())
        if match is None or not path.is_dir():
            continue
        span = _number(match.groupdict(), path)
        folder = SpanFolder(span, int(match.groupdict().get("version") or 0), path)
        if max(folder.span, folder.version) > _MAX_NUMBER:
            raise UserError(
                f"{path.relative_to(base)} in {base} has a number of more than 64 bits",
                "Rename the folder.",
            )
        other = newest.setdefault(span, folder)
        if other.version == folder.version and other != folder:
            names = [f.path.relative_to(base).as_posix() for f in (other, folder)]
            raise UserError(
                f"{names[0]} and {names[1]} in {base} are the same span",
                "Rename or remove one of the folders.",
            )
        newest[span] = max(other, folder)
    return sorted(newest.values())


def _regex(pattern: str) -> re.Pattern[str]:
    has_date = all(part in pattern for part in ("{YYYY}", "{MM}", "{DD}"))
    if ("{SPAN}" in pattern) == has_date:
        raise UserError(
            f"data.span_pattern {pattern!r} must have either {{SPAN}} or all of "
            "{YYYY}, {MM} and {DD}",
            f"Write it like {NUMBERED} or {DATED}.",
        )
    is_inside = not {"", ".", ".."} & set(pattern.split("/"))
    if not is_inside or any(pattern.count(name) > 1 for name in _PLACEHOLDERS):
        raise UserError(
            f"data.span_pattern {pattern!r} must name folders within the data folder, "
            "with each placeholder once",
            f"Write it like {NUMBERED} or {NUMBERED}/version-{{VERSION}}.",
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
    *,
    skip_missing: bool = False,
) -> tuple[SpanFolder, ...]:
    """Chooses the window of spans to train on.

    Args:
      found: All spans, oldest first.
      pattern: For messages, and to know whether spans are numbers or dates.
      first: First span of an explicit range; None for the oldest that `length` allows.
      last: Last span; None for the newest found.
      length: Spans of a rolling window; None for all.
      skip_missing: Whether numbers may be missing within the window. Then `length`
        counts the spans that exist, as it always does for dates.

    Returns:
      The chosen spans, oldest first.

    Raises:
      UserError: A requested span, or a number within the window, is missing.
    """
    end = found[-1].span if last is None else last
    existing = [folder.span for folder in found]
    for span in (first, end):
        if span is not None and span not in existing:
            raise _missing(found, span_name(span, pattern), pattern)
    # Days without ratings have no folder; numbers are consecutive: one that is missing
    # was lost.
    consecutive = "{SPAN}" in pattern and not skip_missing
    before = [span for span in existing if span <= end]
    start = before[0] if first is None else first
    if length is not None and consecutive:
        start = max(start, end - length + 1)
    elif length is not None:
        start = max(start, before[-length:][0])
    wanted = [span for span in before if span >= start]
    if not wanted:
        raise UserError(
            f"the first span, {span_name(start, pattern)}, comes after the last, "
            f"{span_name(end, pattern)}",
            "Swap data.first_span and data.last_span.",
        )
    gaps = _gaps([start - 1, *wanted], pattern)
    if consecutive and gaps:
        names = list(gaps.values())[-_MAX_NAMED:]
        earlier = len(gaps) - len(names)
        names = ([f"{earlier} earlier gaps"] if earlier else []) + names
        raise _missing(found, ", ".join(names), pattern)
    return tuple(folder for folder in found if start <= folder.span <= end)


def missing_before(chosen: Sequence[SpanFolder], pattern: str) -> dict[int, str]:
    """Names the numbers that are missing just before spans of a window.

    Args:
      chosen: The window, oldest span first.
      pattern: Days without ratings have no folder, so of dates none is missing.

    Returns:
      Span -> names, such as `span-3 to span-9`, of those after a gap.
    """
    return _gaps([folder.span for folder in chosen], pattern)


def _gaps(spans: Sequence[int], pattern: str) -> dict[int, str]:
    if "{SPAN}" not in pattern:
        return {}
    names = {}
    for before, span in pairwise(spans):
        if span - before > 1:
            first, last = span_name(before + 1, pattern), span_name(span - 1, pattern)
            names[span] = first if first == last else f"{first} to {last}"
    return names


def _missing(found: Sequence[SpanFolder], what: str, pattern: str) -> UserError:
    existing = [folder.span for folder in found]
    skip = ", or skip it with data.missing_spans=skip" if "{SPAN}" in pattern else ""
    return UserError(
        f"{what} is missing in {found[0].path.parents[pattern.count('/')]}",
        f"Found {_names(existing, pattern)}. Add it, or change "
        f"data.first_span, last_span or span_window{skip}.",
    )


def _names(spans: Sequence[int], pattern: str) -> str:
    """Lists the spans' names; of many only the newest."""
    names = [span_name(span, pattern) for span in spans[-_MAX_NAMED:]]
    earlier = len(spans) - len(names)
    return ", ".join(([f"{earlier} earlier"] if earlier else []) + names)
