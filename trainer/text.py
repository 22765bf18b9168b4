"""Text from data: what may be shown, and what may be an id.

Titles, genres and ids come from files, so they may hold anything: escape sequences that
set a terminal's title or clear its screen, characters that reverse the reading order,
line breaks that make one id look like two. Everything that prints or stores such text
goes through here.
"""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Callable
from typing import Any, Final, TextIO

# C0 and C1 controls with DEL; line and paragraph separators; characters that change the
# reading order (Unicode's bidirectional formatting); byte-order marks; lone surrogates.
CONTROL_CHARACTERS: Final = (
    r"\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"
    r"\ud800-\udfff"
)
_CONTROLS: Final = re.compile(f"[{CONTROL_CHARACTERS}]+")


def has_control_characters(text: str) -> bool:
    """Returns whether a text holds a character that must not be shown as it is."""
    return _CONTROLS.search(text) is not None


def printable(text: str) -> str:
    """Returns a text for one line of a terminal, log or page.

    Every run of control characters becomes one blank. Markup stays: what renders markup
    must be given text, not markup.
    """
    return _CONTROLS.sub(" ", text)


def printable_lines(text: str) -> str:
    """Returns a text of several lines in which only the line breaks are controls."""
    return "\n".join(map(printable, text.split("\n")))


def json_text(content: Any, indent: int | None = 2) -> str:
    """Returns JSON that is safe to show: control characters are escapes.

    `json.dumps` escapes those below U+0020 only, unless it escapes all but ASCII.

    Args:
      content: What `json.dumps` takes.
      indent: Spaces of each level; None for one line.
    """
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    return "\n".join(
        _CONTROLS.sub(lambda run: "".join(f"\\u{ord(c):04x}" for c in run[0]), line)
        for line in text.split("\n")
    )


def escaped(text: str) -> str:
    r"""Returns a text with control characters as escapes, to name a bad value.

    `"a\nb"` becomes `a\nb` with a backslash, and U+202E becomes `\u202e`.
    """
    return _CONTROLS.sub(
        lambda match: match[0].encode("unicode_escape").decode("ascii"), text
    )


def is_blank(text: str) -> bool:
    """Returns whether nothing of a text would be visible."""
    return not any(unicodedata.category(character)[0] not in "CZ" for character in text)


class _LogFormatter(logging.Formatter):
    """Formats a record, with its traceback, as printable lines."""

    def __init__(self, pattern: str, clean: Callable[[str], str]) -> None:
        super().__init__(pattern)
        self._clean = clean

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(self._clean(super().format(record)))


def printable_handler(
    stream: TextIO | None = None,
    pattern: str = logging.BASIC_FORMAT,
    clean: Callable[[str], str] = str,
) -> logging.Handler:
    """Returns a handler that writes records as printable lines.

    Args:
      stream: Where to; by default standard error.
      pattern: What a line has, as `logging.Formatter` takes it.
      clean: Removes from the text of a record what must not be in a log.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_LogFormatter(pattern, clean))
    return handler


def start_logging(
    stream: TextIO | None = None,
    level: int = logging.INFO,
    clean: Callable[[str], str] = str,
) -> None:
    """Logs what this process decides, as printable lines.

    Args:
      stream: Where to; by default standard error.
      level: The least level that is logged.
      clean: Removes from the text of a record what must not be in a log.
    """
    handler = printable_handler(stream, clean=clean)
    logging.basicConfig(level=level, handlers=[handler])
