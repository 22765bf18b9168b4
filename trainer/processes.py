"""Processes that end with the process that started them."""

from __future__ import annotations

import os
import sys
import threading


def end_with_parent() -> None:
    """Ends this process when its parent ends, even if that was killed.

    The parent holds the other end of standard input and never writes to it.
    """

    def wait() -> None:
        # Not `sys.stdin`: its lock, held here, would abort the interpreter at exit.
        os.read(sys.stdin.fileno(), 1)
        os._exit(1)

    threading.Thread(target=wait, name="end-with-parent", daemon=True).start()
