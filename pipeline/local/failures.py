"""Finds the cause of a failed step in what Beam and TFX wrap around it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from pipeline.local.system_errors import explain_system_error, names_full_disk
from pipeline.secret_text import redacted
from trainer.errors import UsageError, UserError

_MAX_LENGTH: Final = 500
# Beam passes a worker's exception on as the text of its traceback and appends to its
# message the transform that raised it.
_WHILE_RUNNING = re.compile(r"\s*\[while running '[^\n]*'\]")
_RAISED = re.compile(
    r"^(?P<type>(?:[a-z_]\w*\.)*[A-Z]\w*): (?P<message>.*)$", re.MULTILINE
)


def user_error_of(error: BaseException) -> UserError | None:
    """Finds the innermost `UserError` among an exception and its causes."""
    for link in reversed(list(chain(error))):
        if isinstance(link, UserError):
            kind = UsageError if isinstance(link, UsageError) else UserError
            return kind(_one_line(link.message), _one_line(link.remedy))
    return None


def explain(error: BaseException, folders: Iterable[Path] = ()) -> UserError:
    """Finds the innermost `UserError`, else the innermost exception.

    Args:
      error: What a step raised.
      folders: What the run writes to, of which one may be full.

    Returns:
      What to show of it: a message of one line, and a remedy, which is empty if the
      error names none.
    """
    found = user_error_of(error)
    # A step that cannot write names a file; the file system says what to do.
    if found is not None and not names_full_disk(found.message):
        return found
    links = list(chain(error))
    # What fails because the disk is full may hide it: look at every link.
    for link in reversed(links):
        known = explain_system_error(link, folders)
        if known is not None:
            return UserError(_one_line(known.message), _one_line(known.remedy))
    for link in reversed(links):
        cause = _from_traceback_text(str(link))
        if cause:
            return UserError(cause, "")
    root = links[-1]
    return UserError(_typed(type(root).__name__, str(root)), "")


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an exception and its causes, the innermost last."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (
            None if link.__suppress_context__ else link.__context__
        )


def _from_traceback_text(text: str) -> str:
    """The cause in a message that contains a traceback; empty if there is none."""
    if "Traceback (most recent call last)" not in text:
        return ""
    known = user_error_in(text)
    if known:
        return known
    raised = [(m["type"], m["message"]) for m in _RAISED.finditer(text)]
    # The first traceback of a chain is the innermost exception's.
    for type_name, message in raised[:1]:
        return _typed(type_name.rpartition(".")[2], message)
    return ""


def user_error_in(text: str) -> str:
    """The message of a `UserError` in the text of a traceback; empty if none is."""
    for found in _RAISED.finditer(text):
        if _is_user_error(found["type"]):
            return _one_line(found["message"])
    return ""


def _is_user_error(type_name: str) -> bool:
    module, _, name = type_name.rpartition(".")
    if not module.startswith(("pipeline", "components", "trainer")):
        return False
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, UserError)


def _typed(type_name: str, message: str) -> str:
    return _one_line(f"{type_name}: {message}" if message else type_name)


def _one_line(text: str) -> str:
    text = redacted(" ".join(_WHILE_RUNNING.sub("", text).split()))
    return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 3] + "..."
