"""What a task found, as a file: JSON, and arrays of numbers."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from components import storage
from trainer.errors import UserError

_JSON: Final = "json"


@dataclass(frozen=True)
class Facts:
    """What a task found.

    Attributes:
      values: JSON-like.
      arrays: Numbers, by name.
    """

    values: dict[str, Any]
    arrays: dict[str, NDArray[np.int64]]

    def write(self, path: str) -> None:
        """Writes a file that is whole or absent."""
        text = np.frombuffer(json.dumps(self.values).encode(), np.uint8)
        content = io.BytesIO()
        np.savez(content, **{_JSON: text}, **self.arrays)
        storage.write(path, content.getvalue())


def read(path: str) -> Facts:
    """Reads what `Facts.write` wrote.

    Raises:
      UserError: It is not there, or cannot be read.
    """
    content = storage.read(path)
    if content is None:
        raise UserError(
            f"{path} was written by another machine, and is not on this one",
            "Put the workspace on a folder that all workers of the engine see.",
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        found = dict(arrays)
    text = found.pop(_JSON).tobytes()
    return Facts(json.loads(text), found)
