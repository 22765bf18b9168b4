"""Whether a folder is a workspace that can be used, and making it one."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Final

from pipeline.atomic_files import write_json
from trainer.errors import UserError

FORMAT: Final = 1
LOCK: Final = ".lock"
_MARKER: Final = "workspace.json"
_OWN_NAMES: Final = frozenset(
    {_MARKER, LOCK, "metadata.sqlite", "artifacts", "serving", "data", "runs"}
)
_ANOTHER: Final = "Choose another folder with --workspace."


def create(root: Path) -> None:
    """Makes the folder a workspace where it is none yet, and tries to write there.

    Raises:
      UserError: It is a file, holds other files or cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not (root / _MARKER).exists():
            _refuse_foreign_files(root)
            write_json(root / _MARKER, {"format": FORMAT})
        with tempfile.TemporaryFile(dir=root):
            pass  # a read-only mount shows only when one writes
    except FileExistsError as error:
        raise UserError(
            f"The workspace {root} is a file, not a folder", _ANOTHER
        ) from error
    except NotADirectoryError as error:
        raise UserError(
            f"The workspace {root} would lie inside a file", _ANOTHER
        ) from error
    except OSError as error:
        raise UserError(
            f"The workspace {root} cannot be written: {error.strerror}",
            f"Make it writable. {_ANOTHER}",
        ) from error


def check_format(root: Path) -> None:
    """Raises `UserError` where a folder is no workspace of this version."""
    marker = root / _MARKER
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))["format"]
    except FileNotFoundError as error:
        raise UserError(
            f"{root} is no workspace: it has no {_MARKER}",
            "Run `two-tower run` first, or name its folder with --workspace.",
        ) from error
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(
            f'{marker} is damaged: it must hold {{"format": {FORMAT}}}', _ANOTHER
        ) from error
    if found != FORMAT:
        raise UserError(
            f"The workspace {root} has format {found}, but this version "
            f"reads format {FORMAT}",
            "Choose another folder with --workspace, or use the version of "
            "two-tower that made it.",
        )


def _refuse_foreign_files(root: Path) -> None:
    foreign = sorted({p.name for p in root.iterdir()} - _OWN_NAMES)
    if foreign:
        raise UserError(
            f"{root} is no workspace: it has other files ({foreign[0]}) and "
            f"no {_MARKER}",
            "Choose an empty or a new folder with --workspace.",
        )
