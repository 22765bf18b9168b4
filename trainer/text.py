"""Text from data: what may be shown, and what may be an id.

Titles, genres and ids come from files, so they may hold anything: escape sequences that
set a terminal's title or clear its screen, characters that reverse the reading order,
line breaks that make one id look like two. Everything that prints or stores such text
goes through here.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# C0 and C1 controls with DEL; line and paragraph separators; characters that change the
# reading order (Unicode's bidirectional formatting); lone surrogates.
CONTROL_CHARACTERS: Final = (
    r"\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
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
