"""TensorFlow without what a SavedModel does not need: neither TFX nor Keras."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator
from typing import Any, Final

# Packages that TensorFlow imports if it can. They take two fifths of the time of its
# import (1.3 of 3.1 s), and a SavedModel of plain TensorFlow runs without them.
_NOT_NEEDED: Final = ("keras", "tf_keras", "pandas", "IPython", "sklearn")


_NOISE: Final = ("[[", "Detected at", "Graph execution error", "<stack traces")


@functools.cache
def import_tensorflow() -> Any:
    """Imports TensorFlow, which takes some seconds the first time."""
    with _absent(_NOT_NEEDED):
        import tensorflow as tf
    return tf


def reason(error: Exception) -> str:
    """Returns a message without TensorFlow's stack traces and list of graph nodes."""
    text = str(getattr(error, "message", None) or error)
    lines = [line.strip() for line in text.split("\n")]
    lines = [line for line in lines if line and not line.startswith(_NOISE)]
    return (lines or [type(error).__name__])[0]


@contextlib.contextmanager
def _absent(names: tuple[str, ...]) -> Iterator[None]:
    """Makes packages look absent while other modules are being imported.

    Args:
      names: Packages; one that was imported before is left as it is.
    """
    absent = [name for name in names if name not in sys.modules]
    # An entry of None makes `import` fail.
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            if sys.modules.get(name, "") is None:
                del sys.modules[name]
