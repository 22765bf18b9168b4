"""A file with the variables that a scheduled retraining needs, such as passwords.

A schedule starts without the variables of the shell. The file has lines of the form
`NAME=value`; it is read at each start, and only its owner may read it.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Final

from trainer.errors import UserError

_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def read(path: Path) -> dict[str, str]:
    """Reads the variables; no message shows a value.

    Raises:
      UserError: It cannot be read, others may read it, or a line is of another form.
    """
    remedy = "Write a line NAME=value for each variable, and no shell commands."
    try:
        if path.stat().st_mode & _OTHERS:
            raise UserError(
                f"Others may read the file of variables {path}, which may hold secrets",
                f"Run `chmod 600 {path}`.",
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UserError(
            f"The file of variables {path} cannot be read: {reason}", remedy
        ) from error
    variables = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise UserError(f"{path} line {number} is not NAME=value", remedy)
        variables[found[1]] = _unquoted(found[2])
    return variables


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value
