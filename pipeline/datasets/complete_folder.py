"""New folders that are either complete or not there."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from trainer.errors import UserError


@contextlib.contextmanager
def complete_folder(target: Path, *, exist_ok: bool = False) -> Iterator[Path]:
    """Yields a new folder that is renamed to `target` if the block succeeds.

    Its parent is a temporary folder beside `target`, free to be used as scratch space
    and removed in the end.

    Args:
      target: The folder to make.
      exist_ok: Whether another process may make the same folder meanwhile.

    Raises:
      UserError: The folder exists, or cannot be written.
    """
    if target.exists():
        raise UserError(f"{target} exists", "Give a new folder, or delete that one.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as e:
        raise UserError(
            f"cannot write into {target.parent}: {e.strerror}",
            "Choose a folder that can be written.",
        ) from e
    try:
        folder = scratch / target.name
        folder.mkdir()
        yield folder
        try:
            folder.rename(target)
        except OSError:
            if not (exist_ok and target.is_dir()):
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
