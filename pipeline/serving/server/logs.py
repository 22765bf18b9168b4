"""The server's log: on standard error, where libraries do not reach it."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Final

from trainer.text import printable_handler

_LOGGERS: Final = {
    "pipeline.serving": logging.INFO,
    "components": logging.WARNING,
    "uvicorn": logging.WARNING,
}
_REPEATING: Final = ("components.", "pipeline.serving.server.wanted")
_REPEAT_SECONDS: Final = 600


class _Changes(logging.Filter):
    """Leaves out what was logged about the serving directory in the last minutes.

    It is read every second, and a fault of it is logged each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(_REPEATING):
            return True
        text, now = record.getMessage(), time.monotonic()
        self._last = {k: t for k, t in self._last.items() if now - t < _REPEAT_SECONDS}
        if text in self._last:
            return False
        self._last[text] = now
        return True


def start() -> None:
    """Starts the log; before TensorFlow is imported."""
    # TensorFlow would log every request that a model refuses.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    pattern = "%(asctime)s %(levelname)s %(message)s"
    handler = printable_handler(sys.stderr, pattern)
    handler.addFilter(_Changes())
    for name, level in _LOGGERS.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.addHandler(handler)
        logger.propagate = False
