"""`server.json` of a workspace: where its model server listens.

A server writes it when it is ready, and removes it when it ends. One that was killed
leaves it behind, so whoever reads it asks the server whether it is there.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainer.atomic_files import write_json

DEFAULT_MODEL_NAME: Final = "two-tower"
_FILE: Final = "server.json"


@dataclass(frozen=True)
class RunningServer:
    """A model server.

    Attributes:
      url: Where it listens, without a path.
      model: Name of the model.
      pid: Its process; 0 where that is not known.
    """

    url: str
    model: str
    pid: int = 0


def find(workspace: Path) -> RunningServer | None:
    """Returns the server that a workspace names, if its process is alive."""
    try:
        content = json.loads((workspace / _FILE).read_text(encoding="utf-8"))
        server = RunningServer(
            str(content["url"]), str(content["model"]), int(content["pid"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return server if _is_alive(server.pid) else None


@contextlib.contextmanager
def announced(workspace: Path | None, server: RunningServer) -> Iterator[None]:
    """Names a server in a workspace while it runs.

    Args:
      workspace: Its folder; None to do nothing.
      server: The server.
    """
    if workspace is None:
        yield
        return
    path = workspace / _FILE
    with contextlib.suppress(OSError):  # a workspace that is only read serves as well
        write_json(path, {"url": server.url, "model": server.model, "pid": server.pid})
    try:
        yield
    finally:
        # Another server may have been started since.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads(path.read_text(encoding="utf-8"))["pid"] == server.pid:
                path.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return pid > 0
