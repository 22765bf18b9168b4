"""Which folders the steps of a run can work in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from trainer.errors import UserError
from trainer.text import escaped, has_control_characters

# TFX, Beam and TensorFlow take a path with one of these for a pattern of names, and
# find no files there.
_PATTERNS: Final = "*?[]\\"


def check_path(folder: Path, option: str) -> None:
    """Checks that every step can find files in a folder.

    Args:
      folder: The folder; its absolute path counts.
      option: The option that names it.

    Raises:
      UserError: A character of its path has a meaning in patterns, or is a control
        character.
    """
    path = os.path.abspath(folder)
    found = [c for c in path if c in _PATTERNS or has_control_characters(c)]
    if found:
        raise UserError(
            f"{escaped(path)} has the character {escaped(found[0])!r}, which TFX and "
            "Beam take for a pattern",
            f"Rename the folder, or choose another one with {option}.",
        )
