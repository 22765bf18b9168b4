"""The server's log: on standard error, where libraries do not reach it."""

from __future__ import annotations

import logging
import os
import sys
from typing import Final

from trainer.text import printable_lines

_LOGGERS: Final = {
    "pipeline.serving": logging.INFO,
    "components": logging.WARNING,
    "uvicorn": logging.WARNING,
}


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


def start() -> None:
    """Starts the log; before TensorFlow is imported."""
    # TensorFlow would log every request that a model refuses.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name, level in _LOGGERS.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.addHandler(handler)
        logger.propagate = False
